/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An sd-bus service that has the answers of the daemon, and says them again: sd_bus NAME. */
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define OTHER "org.kexecprepd1"
#define OBJECT "/org/kexecprepd1"
#define MANAGER "org.kexecprepd1.Manager"

static const char *const names[] = { "GetSetupData", "GetHandover", "GetMemoryMap" };
static sd_bus_message *answers[3];

static int called(sd_bus_message *call, void *unused, sd_bus_error *error)
{
	for (int i = 0; i < 3; i++) {
		sd_bus_message *reply = NULL;

		if (!sd_bus_message_is_method_call(call, MANAGER, names[i]))
			continue;
		sd_bus_message_rewind(answers[i], 1);
		if (sd_bus_message_new_method_return(call, &reply) < 0 ||
		    sd_bus_message_copy(reply, answers[i], 1) < 0)
			return -1;
		sd_bus_send(NULL, reply, NULL);
		sd_bus_message_unref(reply);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	sd_bus *bus;

	if (argc != 2 || sd_bus_default_system(&bus) < 0)
		return 2;
	for (int i = 0; i < 3; i++)
		if (sd_bus_call_method(bus, OTHER, OBJECT, MANAGER, names[i], NULL, &answers[i], "") < 0)
			return 1;
	if (sd_bus_add_object(bus, NULL, OBJECT, called, NULL) < 0 ||
	    sd_bus_request_name(bus, argv[1], 0) < 0)
		return 1;
	puts("ready");
	fflush(stdout);
	for (;;) {
		int done = sd_bus_process(bus, NULL);

		if (done < 0)
			return 1;
		if (!done)
			sd_bus_wait(bus, UINT64_MAX);
	}
}
