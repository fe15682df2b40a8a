/*
 * log.h - one line an event, in one write, never through stdio.
 *
 * Linked into both objects, each with its own state.  Where lines go is decided once: WRAPSOCK_LOG_FILE (appended, created
 * 0600), else descriptor 2 while it is the file it was at start and no socket, else syslog.  errno is kept.
 */
#ifndef WRAPSOCK_LOG_H
#define WRAPSOCK_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

void log_start(void);		/* reads WRAPSOCK_LOG and WRAPSOCK_LOG_FILE, unless AT_SECURE */
int log_wants(enum log_level);
/*
 * More than 5 similar lines a second are counted, not printed; "N similar suppressed" comes with the next event behind that second, told
 * itself or not, or with log_rest, which is for the end of the process.
 */
void log_rest(void);
void log_line(enum log_level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
