/* core.c - the table of connection verbs that the preload object fetches by name. */
#include "core.h"

#include <stdlib.h>

__attribute__((visibility("default"))) const struct core_verbs wrapsock_core_1 = {
	.abi = CORE_ABI,
	.size = sizeof(struct core_verbs),
	.library_version = engine_library_version,
	.alive = engine_alive,
	.host = conn_host,

	.config_new = config_new,
	.config_set = config_set,
	.config_set_place = config_set_place,
	.config_seal = config_seal,
	.config_ref = config_ref,
	.config_free = config_free,

	.conn_new = conn_new,
	.conn_free = conn_free,
	.conn_handshake = conn_handshake,
	.conn_recv = conn_recv,
	.conn_send = conn_send,
	.conn_arrived = conn_arrived,
	.conn_shutdown = conn_shutdown,
	.conn_close = conn_close,
	.conn_finish = conn_finish,
	.conn_leave = conn_leave,
	.conn_parcel_free = conn_parcel_free,
	.conn_state = conn_state,
	.conn_error = conn_error,
	.conn_take_error = conn_take_error,
	.conn_info = conn_info,

	.conn_wants = conn_wants,
	.conn_on_connect = conn_on_connect,
	.conn_unsteady = conn_unsteady,
	.conn_tells = conn_tells,
	.conn_deadline = conn_deadline,
	.conn_expire = conn_expire,
	.conn_set_blocking = conn_set_blocking,
	.conn_set_timeout = conn_set_timeout,
	.conn_set_lowat = conn_set_lowat,
	.conn_lowat = conn_lowat,

	.conn_fork_prepare = conn_fork_prepare,
	.conn_fork_child = conn_fork_child,
	.conn_fork_failed = conn_fork_failed,
	.conn_sole = conn_sole,
	.conn_last = conn_last,
	.conn_return = conn_return,

	.conn_pending = conn_pending,
	.conn_ended = conn_ended,
	.conn_peer_der = conn_peer_der,
	.release = free,
};
