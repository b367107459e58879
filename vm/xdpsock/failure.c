// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool in_json;

void failures_in_json(bool yes)
{
	in_json = yes;
}

/* JSON strings: what we print has no control characters, but a name given by the user may have quotes. */
static void print_quoted(const char *text)
{
	putchar('"');
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			putchar('\\');
		putchar((unsigned char)*text < ' ' ? ' ' : *text);
	}
	putchar('"');
}

void refused(int error, const char *hint, const char *what, ...)
{
	const char *name = strerrorname_np(error);
	char text[512];
	va_list arguments;

	va_start(arguments, what);
	vsnprintf(text, sizeof(text), what, arguments);
	va_end(arguments);
	fprintf(stderr, "xdpsock: %s: %s\n", text, strerror(error));
	if (hint && *hint)
		fprintf(stderr, "  try: %s\n", hint);
	if (in_json) {
		printf("{\"error\": {\"what\": ");
		print_quoted(text);
		printf(", \"errno\": \"%s\"}}\n", name ? name : "?");
	}
	exit(EXIT_REFUSED);
}

void bad_usage(const char *what, ...)
{
	va_list arguments;

	fputs("xdpsock: ", stderr);
	va_start(arguments, what);
	vfprintf(stderr, what, arguments);
	va_end(arguments);
	fputs("\n  xdpsock --help lists the options\n", stderr);
	exit(EXIT_USAGE);
}
