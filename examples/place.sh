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

call() { # METHOD [SIGNATURE ARGUMENT...]
    busctl --json=short call org.kexecprepd1 /org/kexecprepd1 org.kexecprepd1.Manager "$@" && return
    echo "place.sh: $1 failed; the reason is above." >&2
    return 1
}

# The highest page-aligned address below 4 GiB, and above 1 MiB, at which the image touches nothing
# but System RAM; empty where there is none. Takes the answers of GetSetupData and GetMemoryMap. A
# loader's own allocator also keeps clear of its other segments, and of what /proc/iomem shows as
# reserved or as the crash kernel's. (jq counts in doubles: good for addresses, which have 52 bits.)
# shellcheck disable=SC2016 # the variables are jq's
choose='
    def page: . / 4096 | floor * 4096;
    .[0].data as [$image, $info] | .[1].data[0] as $memory
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

# The bytes of an array of numbers, as printf takes them.
bytes='map("\\0\(. / 64 | floor)\(. / 8 | floor % 8)\(. % 8)") | join("")'

generation='.data[-1].generation.data'

attempt=1
while :; do
    setup=$(call GetSetupData)
    memory=$(call GetMemoryMap)
    address=$(printf '%s\n' "$setup" "$memory" | jq -s "$choose")
    if [ -z "$address" ]; then
        echo "place.sh: There is no room for the image." >&2
        exit 1
    fi
    # The 0 is what follows in the list: the address of your own first setup_data node.
    # Where the daemon refuses our address, the maps have changed: by those that we had it is good.
    placed=$(call PlaceSetupData tt "$address" 0) || placed=
    # GetMemoryMap tells no generation, but was asked between two answers that do.
    if printf '%s\n' "$setup" "$placed" | jq -es "map($generation) | .[0] == .[1]" > /dev/null; then
        break
    fi
    attempt=$((attempt + 1))
    if [ "$attempt" -gt 5 ]; then
        echo "place.sh: The maps change too often." >&2
        exit 1
    fi
done

from() { # JQ-PROGRAM
    printf '%s\n' "$placed" | jq -r "$1"
}

printf %b "$(from ".data[0] | $bytes")" > "$1" || exit 1
printf %b "$(from ".data[1] | $bytes")" > "$2" || exit 1
printf 'generation %s: %s bytes go to 0x%x, and into boot_params:\n' \
    "$(from "$generation")" "$(from '.data[0] | length')" "$address"
printf '  0x070  acpi_rsdp_addr  0x%x\n' "$(from '.data[2]["acpi-rsdp"].data')"
printf '  0x1c0  efi_info        %s\n' "$(od -An -v -tx1 "$2" | tr -d ' \n')"
printf '  0x1ec  secure_boot     0x%x\n' "$(from '.data[2]["secure-boot"].data')"
printf '  0x250  hdr.setup_data  0x%x\n' "$address"
