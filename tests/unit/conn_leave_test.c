/* conn_leave_test.c - a connection that leaves the library while other threads wait in calls for it. */
#include "conn_pair.h"

#include <pthread.h>

struct caller {
	struct pair *p;
	size_t len;
	int flags;
	ssize_t result;
	pthread_t thread;
};

static void *
receives(void *arg)
{
	struct caller *k = arg;

	k->result = recv_some(k->p, buffer, k->len, k->flags);
	return NULL;
}

static void *
sends(void *arg)
{
	struct caller *k = arg;

	k->result = send_some(k->p, 0, k->len, k->flags);
	return NULL;
}

static void *
shuts_down(void *arg)
{
	struct caller *k = arg;

	k->result = conn_shutdown(k->p->c, k->p->fd, SHUT_WR);
	return NULL;
}

static void
call(struct caller *k, struct pair *p, void *(*run)(void *))
{
	k->p = p;
	must(pthread_create(&k->thread, NULL, run, k) == 0, "a thread");
}

/* Blocking, and the peer's tickets are out of the way. */
static void
pair_ready(struct pair *p, const struct variant *v)
{
	pair_up(p, v, NULL);
	swallow_tickets(p);
	conn_set_blocking(p->c, true);
}

static void
leave(struct pair *p, struct conn_parcel *parcel)
{
	CHECK(conn_leave(p->c, p->fd, false, parcel) == -EBUSY);
	must(conn_leave(p->c, p->fd, true, parcel) == 0, "conn_leave");
	CHECK_IS(conn_state(p->c), CONN_DEAD);
}

/* Those who wait with nothing done are sent elsewhere, and take nothing along. */
static void
test_readers(const struct variant *v)
{
	static const int flags[] = { 0, MSG_PEEK, MSG_WAITALL, MSG_TRUNC };
	struct conn_parcel parcel;
	struct caller k[4];
	struct pair p;

	begin_case("readers wait, %s", v->name);
	pair_ready(&p, v);
	for (int i = 0; i < 4; i++) {
		k[i] = (struct caller){ .len = 100, .flags = flags[i] };
		call(&k[i], &p, receives);
		until_blocked(i + 1);
	}
	leave(&p, &parcel);
	for (int i = 0; i < 4; i++) {
		pthread_join(k[i].thread, NULL);
		CHECK_IS(k[i].result, -EIO);
	}
	CHECK_IS(parcel.bytes->held, 0);
	CHECK_IS(parcel.bytes->partial, 0);
	CHECK(!(kernel_says(p.fd, POLLIN | POLLRDHUP) & (POLLHUP | POLLRDHUP)));
	conn_parcel_free(&parcel);
	pair_end(&p);
	end_case();
}

/* What is in the caller's hands is counted, and the half record behind it goes along. */
static void
test_half_read(const struct variant *v)
{
	struct caller k = { .len = 100, .flags = MSG_WAITALL };
	struct conn_parcel parcel;
	struct pair p;
	char half[10];
	int begun;

	begin_case("half of it is read, %s", v->name);
	pair_ready(&p, v);
	call(&k, &p, receives);
	until_blocked(1);
	begun = waits;
	peer_say(&p, 60, 60);
	peer_pour(&p, 4096);
	while (waits == begun)
		sched_yield();
	peer_say(&p, 40, 40);
	begun = waits;
	must(BIO_read(p.out, half, sizeof half) == sizeof half && send(p.far, half, sizeof half, MSG_NOSIGNAL) == sizeof half, "half a record");
	while (waits == begun)
		sched_yield();
	leave(&p, &parcel);
	pthread_join(k.thread, NULL);
	CHECK_IS(k.result, 60);
	CHECK(is_stream(buffer, 0, 60));
	CHECK_IS(parcel.bytes->partial + (uint32_t)queued(p.fd), sizeof half);
	conn_parcel_free(&parcel);
	pair_end(&p);
	end_case();
}

/* What the kernel refused goes along, and is what the caller still has to write. */
static void
test_writer(const struct variant *v)
{
	struct caller k = { .len = 2 * BIG };
	const struct relay_parcel *bytes;
	struct conn_parcel parcel;
	struct pair p;

	begin_case("a writer waits, %s", v->name);
	pair_ready(&p, v);
	small_buffers(&p);
	call(&k, &p, sends);
	until_blocked(1);
	leave(&p, &parcel);
	pthread_join(k.thread, NULL);
	CHECK(k.result == -EIO || (k.result > 0 && k.result < 2 * BIG));
	bytes = parcel.bytes;
	CHECK(bytes->out > 0 && bytes->debt > 0);
	CHECK(is_stream((const uint8_t *)(bytes + 1) + bytes->partial + bytes->held + bytes->out, k.result < 0 ? 0 : (size_t)k.result, bytes->debt));
	conn_parcel_free(&parcel);
	pair_end(&p);
	end_case();
}

/* Whoever waits to say goodbye says it where the connection is. */
static void
test_goodbye(const struct variant *v)
{
	struct conn_parcel parcel;
	struct caller k = { 0 };
	struct pair p;
	size_t done;

	begin_case("a goodbye waits, %s", v->name);
	pair_ready(&p, v);
	conn_set_blocking(p.c, false);
	run_into_debt(&p, &done);
	conn_set_blocking(p.c, true);
	call(&k, &p, shuts_down);
	until_blocked(1);
	leave(&p, &parcel);
	pthread_join(k.thread, NULL);
	CHECK_IS(k.result, -EIO);
	CHECK(!parcel.shut_write && !(parcel.bytes->flags & RELAY_SHUT));
	conn_parcel_free(&parcel);
	pair_end(&p);
	end_case();
}

int
main(void)
{
	tests_begin();
	for (size_t i = 0; i < 4; i++) {
		test_readers(&variants[i]);
		test_half_read(&variants[i]);
		test_writer(&variants[i]);
		test_goodbye(&variants[i]);
	}
	return tests_end();
}
