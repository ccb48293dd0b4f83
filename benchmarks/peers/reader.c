/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads files as a loader in C does, and prints what that took: wall and CPU time, in nanoseconds.
 * reader sysfs ROOT PASSES: both maps, value by value, with stdio, as kexec-tools does, and the files beside them
 * reader cache ROOT PASSES: what the daemon keeps in run/kexecprepd below ROOT
 * reader files PATH...: these, whole, into memory that is kept */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static long long now(clockid_t clock)
{
	struct timespec at;

	clock_gettime(clock, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static int value(const char *directory, const char *entry, const char *name)
{
	char path[4096], text[128];
	FILE *file;
	int found;

	snprintf(path, sizeof(path), "%s/%s/%s", directory, entry, name);
	file = fopen(path, "r");
	if (!file)
		return 1;
	found = fgets(text, sizeof(text), file) ? 0 : 1;
	if (!found && text[0] == '0')
		strtoull(text, NULL, 0);
	fclose(file);
	return found;
}

static int entries(const char *root, const char *below, const char *const *names)
{
	char directory[2048];
	struct dirent *entry;
	DIR *open;

	snprintf(directory, sizeof(directory), "%s/%s", root, below);
	open = opendir(directory);
	if (!open)
		return 1;
	while ((entry = readdir(open))) {
		if (entry->d_name[0] == '.')
			continue;
		for (const char *const *name = names; *name; name++)
			if (value(directory, entry->d_name, *name))
				return 1;
	}
	closedir(open);
	return 0;
}

static int whole(const char *path)
{
	struct stat status;
	char *at, *end;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &status) < 0)
		return 1;
	at = malloc(status.st_size + 1);
	for (end = at + status.st_size; at && at < end;) {
		ssize_t count = read(fd, at, end - at);

		if (count <= 0)
			return 1;
		at += count;
	}
	close(fd);
	return 0;
}

static int below(const char *root, const char *name)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", root, name);
	return whole(path);
}

static int sysfs(const char *root)
{
	static const char *const region[] = { "type",	   "phys_addr", "virt_addr",
					      "num_pages", "attribute", NULL };
	static const char *const range[] = { "start", "end", "type", NULL };

	return entries(root, "sys/firmware/efi/runtime-map", region) ||
	       entries(root, "sys/firmware/memmap", range) ||
	       below(root, "sys/firmware/efi/systab") ||
	       below(root, "sys/kernel/boot_params/data");
}

static int cache(const char *root)
{
	return below(root, "run/kexecprepd/setup_data") ||
	       below(root, "run/kexecprepd/snapshot.json");
}

int main(int argc, char **argv)
{
	long long begin = now(CLOCK_MONOTONIC), used = now(CLOCK_PROCESS_CPUTIME_ID);
	int failed = 0;

	if (argc < 3)
		return 2;
	if (!strcmp(argv[1], "files"))
		for (int i = 2; i < argc; i++)
			failed |= whole(argv[i]);
	else
		for (int pass = argc > 3 ? atoi(argv[3]) : 1; pass > 0; pass--)
			failed |= strcmp(argv[1], "cache") ? sysfs(argv[2]) : cache(argv[2]);
	printf("%lld %lld\n", now(CLOCK_MONOTONIC) - begin, now(CLOCK_PROCESS_CPUTIME_ID) - used);
	return failed;
}
