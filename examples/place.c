// SPDX-License-Identifier: MIT-0
/*
 * Fetches the EFI image from kexecprepd and places it, as a loader that uses kexec_load(2) does;
 * kexecprepd-loaders(7) explains the steps. To build it, and to run it as root:
 *
 *     cc -std=c17 -Wall -Wextra -o place place.c $(pkg-config --cflags --libs libsystemd)
 *     ./place IMAGE EFI_INFO
 *
 * IMAGE and EFI_INFO are files that it writes: the bytes for a place in memory, and the 32 bytes of
 * boot_params.efi_info. It prints that place, and what else goes into boot_params.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-bus.h>

#define PAGE_SIZE UINT64_C(4096)
#define FLOOR UINT64_C(0x100000)        /* the first MiB is of no use to a loader */
#define CEILING UINT64_C(0x100000000)   /* this example keeps below 4 GiB */
#define EFI_INFO_SIZE 32
#define DESCRIPTORS 112                 /* where the image has its memory descriptors */

#define cleanup(function) __attribute__((cleanup(function)))

struct range {
        uint64_t start, end; /* physical, both inclusive */
};

struct ranges {
        struct range *items;
        size_t count;
};

/* What GetHandover answers, all of one moment. The pointers lead into the message. */
struct handover {
        sd_bus_message *message;
        const void *image, *efi_info;
        size_t image_size, efi_info_size;
        struct ranges ram, taken;
        uint64_t generation, acpi_rsdp;
        uint8_t secure_boot;
};

static void free_handover(struct handover *handover)
{
        sd_bus_message_unref(handover->message);
        free(handover->ram.items);
        free(handover->taken.items);
}

static int fail(const char *what, int r)
{
        fprintf(stderr, "place: %s: %s.\n", what, strerror(-r));
        return r;
}

/* Asks the daemon; where that fails, it prints why in the daemon's words. */
static int ask(sd_bus *bus, sd_bus_message **reply)
{
        cleanup(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

        int r = sd_bus_call_method(bus, "org.kexecprepd1", "/org/kexecprepd1",
                                   "org.kexecprepd1.Manager", "GetHandover", &error, reply, NULL);
        if (r >= 0)
                return r;
        fprintf(stderr, "place: GetHandover: %s: %s\n", error.name ? error.name : "no answer",
                error.message ? error.message : strerror(-r));
        if (sd_bus_error_has_name(&error, "org.kexecprepd1.Error.Unsupported"))
                fputs("place: Load without EFI: no node, and 32 zero bytes as efi_info.\n", stderr);
        return r;
}

/* Reads an a(tts): ranges of the type System RAM to `ram`, all others to `taken`. */
static int read_ranges(sd_bus_message *m, struct ranges *ram, struct ranges *taken)
{
        struct range range;
        const char *text;
        int r = sd_bus_message_enter_container(m, 'a', "(tts)");

        while (r >= 0 &&
               (r = sd_bus_message_read(m, "(tts)", &range.start, &range.end, &text)) > 0) {
                struct ranges *to = ram && strcmp(text, "System RAM") == 0 ? ram : taken;
                struct range *items = realloc(to->items, (to->count + 1) * sizeof(range));
                if (!items)
                        return fail("The ranges cannot be kept", -ENOMEM);
                to->items = items;
                to->items[to->count++] = range;
        }
        return r < 0 ? fail("The ranges cannot be read", r) : sd_bus_message_exit_container(m);
}

/* Reads the answer; `taken` gets what is no System RAM, and the excluded ranges. */
static int read_handover(struct handover *to)
{
        sd_bus_message *m = to->message;
        const char *key;
        int r = sd_bus_message_read_array(m, 'y', &to->image, &to->image_size);

        if (r >= 0)
                r = read_ranges(m, &to->ram, &to->taken);
        if (r >= 0)
                r = sd_bus_message_enter_container(m, 'a', "{sv}");
        while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
                r = sd_bus_message_read(m, "s", &key);
                if (r < 0)
                        break;
                if (strcmp(key, "generation") == 0)
                        r = sd_bus_message_read(m, "v", "t", &to->generation);
                else if (strcmp(key, "acpi-rsdp") == 0)
                        r = sd_bus_message_read(m, "v", "t", &to->acpi_rsdp);
                else if (strcmp(key, "secure-boot") == 0)
                        r = sd_bus_message_read(m, "v", "y", &to->secure_boot);
                else if (strcmp(key, "efi-info") == 0) {
                        r = sd_bus_message_enter_container(m, 'v', "ay");
                        if (r >= 0)
                                r = sd_bus_message_read_array(m, 'y', &to->efi_info,
                                                              &to->efi_info_size);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                } else if (strcmp(key, "excluded-ranges") == 0) {
                        r = sd_bus_message_enter_container(m, 'v', "a(tts)");
                        if (r >= 0)
                                r = read_ranges(m, NULL, &to->taken);
                        if (r >= 0)
                                r = sd_bus_message_exit_container(m);
                } else
                        r = sd_bus_message_skip(m, "v"); /* later versions may say more */
                if (r >= 0)
                        r = sd_bus_message_exit_container(m);
        }
        if (r >= 0 && (to->image_size < DESCRIPTORS || to->efi_info_size != EFI_INFO_SIZE))
                r = -EBADMSG;
        return r < 0 ? fail("The answer cannot be read", r) : 0;
}

/*
 * The highest page-aligned address at which `size` bytes of System RAM touch nothing that is taken,
 * 0 where there is none. A loader's own allocator also keeps clear of its other segments, and of
 * what /proc/iomem shows as reserved or as the crash kernel's.
 */
static uint64_t choose(const struct ranges *ram, const struct ranges *taken, uint64_t size)
{
        uint64_t best = 0;

        for (size_t n = 0; n < ram->count; n++) {
                const struct range *r = &ram->items[n];
                uint64_t end = r->end < CEILING ? r->end + 1 : CEILING;
                uint64_t address = end < size ? 0 : (end - size) & -PAGE_SIZE;

                for (size_t i = 0; i < taken->count && address >= FLOOR;) {
                        const struct range *t = &taken->items[i++];
                        if (t->start >= address + size || t->end < address)
                                continue;
                        address = t->start < size ? 0 : (t->start - size) & -PAGE_SIZE;
                        i = 0; /* moved down: hold it against all of them again */
                }
                if (address >= FLOOR && address >= r->start && address > best)
                        best = address;
        }
        return best;
}

/* The low 32 bits of a number as they lie in memory, little-endian. */
static void put32(uint8_t *to, uint64_t value)
{
        for (size_t n = 0; n < 4; n++)
                to[n] = (uint8_t)(value >> 8 * n);
}

static int write_file(const char *path, const void *data, size_t size)
{
        FILE *file = fopen(path, "w");

        if (!file)
                return fail(path, -errno);
        size_t written = fwrite(data, 1, size, file);
        return fclose(file) == 0 && written == size ? 0 : fail(path, -errno);
}

/* Links the image for its place, leaves the two pieces in files, and prints what goes where. */
static int place(const struct handover *handover, uint64_t address, char **files)
{
        uint8_t efi_info[EFI_INFO_SIZE];

        /*
         * The image's first 8 bytes are what follows in the list: the address of your own first
         * setup_data node. This example has none, and they are 0 already.
         */
        memcpy(efi_info, handover->efi_info, sizeof(efi_info));
        put32(efi_info + 16, address + DESCRIPTORS);         /* efi_memmap */
        put32(efi_info + 28, (address + DESCRIPTORS) >> 32); /* efi_memmap_hi */

        if (write_file(files[0], handover->image, handover->image_size) < 0 ||
            write_file(files[1], efi_info, sizeof(efi_info)) < 0)
                return EXIT_FAILURE;
        printf("generation %" PRIu64 ": %zu bytes go to 0x%" PRIx64 ", and into boot_params:\n"
               "  0x070  acpi_rsdp_addr  0x%" PRIx64 "\n"
               "  0x1c0  efi_info        ",
               handover->generation, handover->image_size, address, handover->acpi_rsdp);
        for (size_t i = 0; i < sizeof(efi_info); i++)
                printf("%02x", efi_info[i]);
        printf("\n  0x1ec  secure_boot     0x%x\n  0x250  hdr.setup_data  0x%" PRIx64 "\n",
               (unsigned)handover->secure_boot, address);
        return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
        cleanup(sd_bus_flush_close_unrefp) sd_bus *bus = NULL;
        cleanup(free_handover) struct handover handover = { 0 };

        if (argc != 3) {
                fputs("usage: place IMAGE EFI_INFO\n", stderr);
                return 2;
        }
        umask(077); /* addresses are for root alone */
        int r = sd_bus_open_system(&bus);
        if (r < 0)
                return fail("The system bus cannot be reached", r), EXIT_FAILURE;
        if (ask(bus, &handover.message) < 0 || read_handover(&handover) < 0)
                return EXIT_FAILURE;

        uint64_t size = (handover.image_size + PAGE_SIZE - 1) & -PAGE_SIZE;
        uint64_t address = choose(&handover.ram, &handover.taken, size);
        if (address == 0)
                return fputs("place: There is no room for the image.\n", stderr), EXIT_FAILURE;
        return place(&handover, address, argv + 1);
}
