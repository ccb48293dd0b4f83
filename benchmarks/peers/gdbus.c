/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The floor: a GDBus service that has the answers of another one, and says them again.
 * gdbus NAME asking|trusting: `asking` asks the bus for the caller's uid at every call.
 * It prints a line when it is ready, and ends by a signal. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <gio/gio.h>
#include <gio/gunixfdlist.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define OTHER "org.kexecprepd1"
#define OBJECT "/org/kexecprepd1"
#define MANAGER "org.kexecprepd1.Manager"
#define PROPERTIES "org.freedesktop.DBus.Properties"

static gboolean asking;
static GHashTable *answers; /* by method */
static GVariant *every_property;

static GVariant *ask(GDBusConnection *bus, const char *interface, const char *method,
		     GVariant *arguments)
{
	GError *error = NULL;
	GVariant *reply = g_dbus_connection_call_sync(bus, OTHER, OBJECT, interface, method, arguments,
						      NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL, &error);

	if (!reply)
		g_error("%s: %s", method, error->message);
	return reply;
}

static int memory_file(GVariant *answer)
{
	gsize size;
	GVariant *image = g_variant_get_child_value(answer, 0);
	const void *data = g_variant_get_fixed_array(image, &size, 1);
	int fd = memfd_create("peer", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (write(fd, data, size) != (ssize_t)size)
		g_error("no memory file");
	lseek(fd, 0, SEEK_SET);
	fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	g_variant_unref(image);
	return fd;
}

static void answer(const char *method, GVariant *arguments, GDBusMethodInvocation *invocation)
{
	if (!strcmp(method, "OpenSetupData")) {
		int fd = memory_file(g_hash_table_lookup(answers, "GetSetupData"));
		GUnixFDList *fds = g_unix_fd_list_new_from_array(&fd, 1);

		g_dbus_method_invocation_return_value_with_unix_fd_list(
			invocation, g_hash_table_lookup(answers, method), fds);
		g_object_unref(fds);
	} else if (!strcmp(method, "Get")) {
		const char *name;
		GVariant *value, *all = g_variant_get_child_value(every_property, 0);

		g_variant_get_child(arguments, 1, "&s", &name);
		value = g_variant_lookup_value(all, name, NULL);
		g_dbus_method_invocation_return_value(invocation, g_variant_new("(v)", value));
		g_variant_unref(value);
		g_variant_unref(all);
	} else if (!strcmp(method, "GetAll")) {
		g_dbus_method_invocation_return_value(invocation, every_property);
	} else {
		g_dbus_method_invocation_return_value(invocation, g_hash_table_lookup(answers, method));
	}
}

static void told(GObject *bus, GAsyncResult *result, gpointer invocation)
{
	guint32 uid;
	GVariant *reply = g_dbus_connection_call_finish(G_DBUS_CONNECTION(bus), result, NULL);

	g_variant_get(reply, "(u)", &uid);
	g_variant_unref(reply);
	answer(g_dbus_method_invocation_get_method_name(invocation),
	       g_dbus_method_invocation_get_parameters(invocation), invocation);
}

static void called(GDBusConnection *bus, const char *sender, const char *path,
		   const char *interface, const char *method, GVariant *arguments,
		   GDBusMethodInvocation *invocation, gpointer unused)
{
	if (asking && strcmp(interface, PROPERTIES))
		g_dbus_connection_call(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
				       "org.freedesktop.DBus", "GetConnectionUnixUser",
				       g_variant_new("(s)", sender), G_VARIANT_TYPE("(u)"),
				       G_DBUS_CALL_FLAGS_NONE, -1, NULL, told, invocation);
	else
		answer(method, arguments, invocation);
}

int main(int argc, char **argv)
{
	static const char *const plain[] = { "GetSetupData",	 "GetHandover",	 "GetMemoryMap",
					     "GetExcludedRanges", "OpenSetupData" };
	static const GDBusInterfaceVTable vtable = { .method_call = called };
	GDBusConnection *bus = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, NULL);
	GVariant *xml, *taken;
	GDBusNodeInfo *node;
	const char *text;

	if (argc < 3 || !bus)
		return 2;
	asking = !strcmp(argv[2], "asking");
	answers = g_hash_table_new(g_str_hash, g_str_equal);
	for (gsize i = 0; i < G_N_ELEMENTS(plain); i++)
		g_hash_table_insert(answers, (gpointer)plain[i], ask(bus, MANAGER, plain[i], NULL));
	if (argc > 3)
		g_hash_table_insert(answers, "PlaceSetupData",
				    ask(bus, MANAGER, "PlaceSetupData",
					g_variant_parse(NULL, argv[3], NULL, NULL, NULL)));
	every_property = ask(bus, PROPERTIES, "GetAll", g_variant_new("(s)", MANAGER));
	xml = ask(bus, "org.freedesktop.DBus.Introspectable", "Introspect", NULL);
	g_variant_get(xml, "(&s)", &text);
	node = g_dbus_node_info_new_for_xml(text, NULL);
	g_dbus_connection_register_object(bus, OBJECT, g_dbus_node_info_lookup_interface(node, MANAGER),
					  &vtable, NULL, NULL, NULL);
	taken = g_dbus_connection_call_sync(bus, "org.freedesktop.DBus", "/org/freedesktop/DBus",
					    "org.freedesktop.DBus", "RequestName",
					    g_variant_new("(su)", argv[1], 4), NULL,
					    G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
	if (!taken)
		return 1;
	puts("ready");
	fflush(stdout);
	g_main_loop_run(g_main_loop_new(NULL, FALSE));
	return 0;
}
