/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls a method so many times, and prints how long each call took, in nanoseconds.
 * caller NAME PATH INTERFACE METHOD ARGUMENTS COUNT UNTOLD, of which UNTOLD come before; the bus is $DBUS_SYSTEM_BUS_ADDRESS. */
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long long now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

int main(int argc, char **argv)
{
	GError *error = NULL;
	GDBusConnection *bus;
	GVariant *arguments;

	if (argc != 8)
		return 2;
	bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
	if (!bus)
		goto failed;
	arguments = g_variant_parse(NULL, argv[5], NULL, NULL, &error);
	if (!arguments)
		goto failed;
	g_variant_ref_sink(arguments);
	for (int i = -atoi(argv[7]); i < atoi(argv[6]); i++) {
		long long begin = now();
		GUnixFDList *fds = NULL;
		GVariant *reply = g_dbus_connection_call_with_unix_fd_list_sync(
			bus, argv[1], argv[2], argv[3], argv[4], arguments, NULL,
			G_DBUS_CALL_FLAGS_NONE, -1, NULL, &fds, NULL, &error);
		long long end = now();

		if (!reply)
			goto failed;
		g_variant_unref(reply);
		if (fds)
			g_object_unref(fds);
		if (i >= 0) /* those before have the bus asked who is calling, and the like */
			printf("%lld\n", end - begin);
	}
	return 0;
failed:
	fprintf(stderr, "caller: %s\n", error->message);
	return 1;
}
