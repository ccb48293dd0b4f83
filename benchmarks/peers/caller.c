/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Calls methods so many times, and prints how long that took each time, in nanoseconds.
 * caller NAME PATH INTERFACE METHOD[,METHOD...] ARGUMENTS COUNT UNTOLD stay|connect: UNTOLD times come before those
 * that are printed; `connect` has a connection for each time, and counts from there on.
 * The bus is $DBUS_SYSTEM_BUS_ADDRESS. */
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long long now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static GDBusConnection *connected(GError **error)
{
	GDBusConnection *bus = g_dbus_connection_new_for_address_sync(
		getenv("DBUS_SYSTEM_BUS_ADDRESS"),
		G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
			G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION,
		NULL, NULL, error);

	return bus;
}

int main(int argc, char **argv)
{
	GError *error = NULL;
	GDBusConnection *bus = NULL;
	GVariant *arguments;
	gchar **methods;
	gboolean stay;

	if (argc != 9 || !getenv("DBUS_SYSTEM_BUS_ADDRESS"))
		return 2;
	methods = g_strsplit(argv[4], ",", 0);
	stay = !strcmp(argv[8], "stay");
	arguments = g_variant_parse(NULL, argv[5], NULL, NULL, &error);
	if (!arguments)
		goto failed;
	g_variant_ref_sink(arguments);
	for (int i = -atoi(argv[7]); i < atoi(argv[6]); i++) {
		long long begin = now(), end;

		if (!bus)
			bus = connected(&error);
		if (!bus)
			goto failed;
		for (gchar **method = methods; *method; method++) {
			GUnixFDList *fds = NULL;
			GVariant *reply = g_dbus_connection_call_with_unix_fd_list_sync(
				bus, argv[1], argv[2], argv[3], *method, arguments, NULL,
				G_DBUS_CALL_FLAGS_NONE, -1, NULL, &fds, NULL, &error);

			if (!reply)
				goto failed;
			g_variant_unref(reply);
			if (fds)
				g_object_unref(fds);
		}
		end = now();
		if (!stay) {
			g_dbus_connection_close_sync(bus, NULL, NULL);
			g_clear_object(&bus);
		}
		if (i >= 0) /* those before have the bus asked who is calling, and the like */
			printf("%lld\n", end - begin);
	}
	return 0;
failed:
	fprintf(stderr, "caller: %s\n", error->message);
	return 1;
}
