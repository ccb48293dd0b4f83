#!/bin/sh
# SPDX-License-Identifier: MIT-0
# Fetches the EFI image from kexecprepd and places it, as a loader that uses kexec_load(2) does;
# kexecprepd-loaders(7) explains the steps. It takes busctl and jq. Run it as root:
#
#     ./place.sh IMAGE EFI_INFO
#
# IMAGE and EFI_INFO are files that it writes: the bytes for a place in memory, and the 32 bytes of
# boot_params.efi_info. It prints that place, and what else goes into boot_params.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: place.sh IMAGE EFI_INFO" >&2
    exit 2
fi
umask 077 # addresses are for root alone

# The highest page-aligned address below 4 GiB, and above 1 MiB, at which the image touches nothing
# but System RAM; empty where there is none. A loader's own allocator also keeps clear of its other
# segments, and of what /proc/iomem shows as reserved or as the crash kernel's. (jq counts in
# doubles: good for addresses, which have 52 bits.)
# shellcheck disable=SC2016 # the variables are jq's
choose='
    def page: . / 4096 | floor * 4096;
    .data as [$image, $memory, $info]
    | ($image | length + 4095 | page) as $size
    | ($info["excluded-ranges"].data + [$memory[] | select(.[2] != "System RAM")]) as $taken
    | def clear:
          . as $at
          | [$taken[] | select(.[0] < $at + $size and .[1] >= $at) | .[0]]
          | if . == [] then $at else min - $size | page | clear end;
    [ $memory[]
      | select(.[2] == "System RAM")
      | .[0] as $start
      | [.[1] + 1, 4294967296] | min - $size | page | clear
      | select(. >= $start and . >= 1048576) ]
    | max // empty'

# The 32 bytes of efi_info, with the address of the descriptors: 112 bytes behind the image's.
# shellcheck disable=SC2016
efi_info='
    def bytes: [. % 256, (. / 256 | floor) % 256, (. / 65536 | floor) % 256, (. / 16777216 | floor)];
    .data[2]["efi-info"].data as $own
    | ($at | tonumber + 112) as $map
    | $own[:16] + ($map % 4294967296 | bytes) + $own[20:28] + ($map / 4294967296 | floor | bytes)'

# The bytes of an array of numbers, as printf takes them.
bytes='map("\\0\(. / 64 | floor)\(. / 8 | floor % 8)\(. % 8)") | join("")'

handover=$(busctl --json=short call org.kexecprepd1 /org/kexecprepd1 org.kexecprepd1.Manager \
    GetHandover) || {
    echo "place.sh: GetHandover failed; the reason is above." >&2
    exit 1
}

from() { # JQ-PROGRAM [AT]
    printf '%s\n' "$handover" | jq -r --arg at "${2:-}" "$1"
}

address=$(from "$choose")
if [ -z "$address" ]; then
    echo "place.sh: There is no room for the image." >&2
    exit 1
fi

# The image's first 8 bytes are what follows in the list: the address of your own first setup_data
# node. This example has none, and they are 0 already.
printf %b "$(from ".data[0] | $bytes")" > "$1" || exit 1
printf %b "$(from "$efi_info | $bytes" "$address")" > "$2" || exit 1
printf 'generation %s: %s bytes go to 0x%x, and into boot_params:\n' \
    "$(from '.data[2].generation.data')" "$(from '.data[0] | length')" "$address"
printf '  0x070  acpi_rsdp_addr  0x%x\n' "$(from '.data[2]["acpi-rsdp"].data')"
printf '  0x1c0  efi_info        %s\n' "$(od -An -v -tx1 "$2" | tr -d ' \n')"
printf '  0x1ec  secure_boot     0x%x\n' "$(from '.data[2]["secure-boot"].data')"
printf '  0x250  hdr.setup_data  0x%x\n' "$address"
