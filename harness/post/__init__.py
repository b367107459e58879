"""Take a report where people look for it: to a mailing list by SMTP, to Patchwork by its REST API."""
