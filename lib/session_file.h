/*
 * session_file.h - sessions of clients that outlive their process: `wrapsock/sessions` in the user's runtime directory. libc only.
 *
 * A file of fixed size in slots, each with one session under a key.  What is taken out is wiped there: no two processes get the
 * same.  Nothing waits: a place that another process works at is passed over.  Folder and file must be the effective user's own and
 * nobody else's to read or write, and are opened anew in each call.  What is in the file is as secret as the connections that it
 * resumes, and as trusted as the certificates that were verified for them.
 */
#ifndef WRAPSOCK_SESSION_FILE_H
#define WRAPSOCK_SESSION_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SESSION_FILE_KEY = 32,
	SESSION_FILE_SLOT = 8192,
	SESSION_FILE_GROUP = 8,			/* slots that a key may be in, and so the sessions of one peer */
	SESSION_FILE_GROUPS = 32,
	SESSION_FILE_LONGEST = SESSION_FILE_SLOT - 128	/* bytes of a session */
};

struct session_file_entry {
	void *bytes;			/* malloc'ed; wiped by session_file_entry_free */
	size_t len;
	int64_t until;			/* time(2) from which on it is worth nothing */
};

/* $XDG_RUNTIME_DIR, else /run/user/UID, or /run for root: malloc'ed. NULL: err has the sentence; a program with raised rights has none. */
char *session_file_folder(char *err, size_t errsize);

/* 1 = kept; 0 = not, it is too long or somebody is at work there; -1: err has the sentence. */
int session_file_put(const char *folder, const uint8_t key[static SESSION_FILE_KEY], const struct session_file_entry *, char *err, size_t errsize);
/* The newest that is still good: 1 and *out, the caller's; 0 = none; -1 = none, and err has the sentence. */
int session_file_take(const char *folder, const uint8_t key[static SESSION_FILE_KEY], struct session_file_entry *out, char *err, size_t errsize);
void session_file_entry_free(struct session_file_entry *);

#endif
