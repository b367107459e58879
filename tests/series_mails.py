"""Mails of our own making about a driver that does not exist, for tests of reading series."""

from __future__ import annotations

AUTHOR = "Ada Ring <ada@example.org>"
LORE = b"From mboxrd@z Thu Jan  1 00:00:00 1970\n"


def diff(number: int = 1, path: str = "") -> str:
    """A whole diff of one hunk, another one for each number."""
    path = path or f"drivers/net/ring{number}.c"
    return (
        f"diff --git a/{path} b/{path}\n"
        f"index 1111111..2222222 100644\n--- a/{path}\n+++ b/{path}\n"
        f"@@ -10,4 +10,5 @@ static int ring_{number}(void)\n"
        f" \tint slots = {number};\n \n-\treturn slots;\n+\tslots += 1;\n+\treturn slots;\n }}\n"
    )


def body(number: int = 1, *, message: str = "", below: str = "-- \n2.43.0\n") -> str:
    text = message or f"Slot {number} was lost.\n\nSigned-off-by: {AUTHOR}"
    path = f"drivers/net/ring{number}.c"
    return f"{text}\n---\n {path} | 3 ++-\n 1 file changed\n\n{diff(number)}{below}"


def mail(subject: str, text: str | bytes = "", *, encoding: str = "utf-8", **headers: str) -> bytes:
    """A message. headers: `content_type="…"` is Content-Type, an empty value leaves a header out."""
    message_id = "".join(letter if letter.isalnum() else "-" for letter in subject)
    values = {
        "From": AUTHOR,
        "Date": "Tue, 14 Nov 2023 23:13:20 +0100",
        "Subject": subject,
        "Message-ID": f"<{message_id}@example.org>",
    }
    values |= {"-".join(word.title() for word in name.split("_")): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\n" for name, value in values.items() if value)
    return head.encode(encoding) + b"\n" + (text if isinstance(text, bytes) else text.encode(encoding))


def patch(number: int, total: int, *, prefix: str = "PATCH", content: int = 0, **headers: str) -> bytes:
    return mail(f"[{prefix} {number}/{total}] ring: step {number}", body(content or number), **headers)


def cover(total: int, *, prefix: str = "PATCH", text: str = "All about rings.\n\n-- \n2.43.0\n") -> bytes:
    return mail(f"[{prefix} 0/{total}] ring: steps", text)


def mbox(*mails: bytes) -> bytes:
    """A mailbox as public-inbox writes one; the mails must be quoted already where they need it."""
    return b"".join(LORE + text + b"\n" for text in mails)
