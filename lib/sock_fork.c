/*
 * sock_fork.c - sockets in a child: both processes have them, each direction is for whom uses it next.
 *
 * The list is that of the listeners and of the sockets with a connection of ours; its lock is held across fork, so that the child
 * finds it whole.
 */
#include "sock.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct wrapsock_sock *all;

static void
prepare(void)
{
	pthread_mutex_lock(&lock);
	for (struct wrapsock_sock *s = all; s; s = s->next)
		if (s->conn)
			conn_fork_prepare(s->conn);
}

static void
parent(void)
{
	pthread_mutex_unlock(&lock);
}

static void
child(void)
{
	pthread_mutex_init(&lock, NULL);
	for (struct wrapsock_sock *s = all; s; s = s->next) {
		if (s->conn)
			conn_fork_child(s->conn);
		pthread_mutex_init(&s->object.lock, NULL);
	}
}

static void
watch_forks(void)
{
	pthread_atfork(prepare, parent, child);
}

void
sock_fork_add(struct wrapsock_sock *s)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&lock);
	s->next = all;
	s->back = &all;
	if (all)
		all->back = &s->next;
	all = s;
	pthread_mutex_unlock(&lock);
}

void
sock_fork_remove(struct wrapsock_sock *s)
{
	pthread_mutex_lock(&lock);
	if (s->back) {
		*s->back = s->next;
		if (s->next)
			s->next->back = s->back;
		s->back = NULL;
	}
	pthread_mutex_unlock(&lock);
}
