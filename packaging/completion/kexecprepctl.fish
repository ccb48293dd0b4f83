# SPDX-License-Identifier: LGPL-2.1-or-later
# fish completion for kexecprepctl(1)

set -l commands status check map findings dump watch record decode diff metrics entries load unload exec run adopt help
set -l first "not __fish_seen_subcommand_from $commands"

complete -c kexecprepctl -f

complete -c kexecprepctl -n $first -a status -d 'The state in words'
complete -c kexecprepctl -n $first -a check -d 'Will EFI survive a kexec here?'
complete -c kexecprepctl -n $first -a map -d 'The runtime map beside the memory map'
complete -c kexecprepctl -n $first -a findings -d 'What validation noticed'
complete -c kexecprepctl -n $first -a dump -d 'Write the image to a file'
complete -c kexecprepctl -n $first -a watch -d 'Print changes as they come'
complete -c kexecprepctl -n $first -a record -d 'Save all that an answer depends on'
complete -c kexecprepctl -n $first -a decode -d 'Explain a file, field by field'
complete -c kexecprepctl -n $first -a diff -d 'What differs between two'
complete -c kexecprepctl -n $first -a metrics -d 'Print it all for Prometheus'
complete -c kexecprepctl -n $first -a entries -d 'What would boot here'
complete -c kexecprepctl -n $first -a load -d 'Load a kernel, with EFI handed over'
complete -c kexecprepctl -n $first -a unload -d 'Forget the kernel that is loaded'
complete -c kexecprepctl -n $first -a exec -d 'Start the kernel that is loaded'
complete -c kexecprepctl -n $first -a run -d 'Run another loader'
complete -c kexecprepctl -n $first -a adopt -d "Have a unit's loader do so"
complete -c kexecprepctl -n $first -a help -d 'Print a help'

# What follows `run COMMAND` is for that.
set -l ours 'not __fish_seen_subcommand_from run'
complete -c kexecprepctl -n $ours -s h -l help -d 'Print a short help'
complete -c kexecprepctl -n $ours -l json -x -a 'short pretty off' -d 'Print JSON'
complete -c kexecprepctl -n $ours -s j -d 'Print JSON, over many lines on a terminal'
complete -c kexecprepctl -n $ours -l full -d 'Cut no table, and break no lines'
complete -c kexecprepctl -n $ours -l no-pager -d 'Start no pager'
complete -c kexecprepctl -n $ours -l no-legend -d 'Leave the headings of tables out'
complete -c kexecprepctl -n $ours -s q -l quiet -d 'Print no notes, nor what was done'
complete -c kexecprepctl -n $ours -l root -r -F -d 'Read a tree, or a recording'
complete -c kexecprepctl -n $first -l version -d 'Print the version'

set -l of_kernel '__fish_seen_subcommand_from check load'
complete -c kexecprepctl -n $of_kernel -l append -x -d 'The command line, or more of it'
complete -c kexecprepctl -n $of_kernel -l reuse-cmdline -d "The running kernel's command line"

complete -c kexecprepctl -n '__fish_seen_subcommand_from check' -l kernel -r -F -d 'Look at it, too'

complete -c kexecprepctl -n '__fish_seen_subcommand_from dump' -F
complete -c kexecprepctl -n '__fish_seen_subcommand_from dump' -l force -d 'Even if it is invalid'

complete -c kexecprepctl -n '__fish_seen_subcommand_from map' -l svg -r -F -d 'Write a picture'

complete -c kexecprepctl -n '__fish_seen_subcommand_from record decode diff' -F
complete -c kexecprepctl -n '__fish_seen_subcommand_from record' -l redact \
    -d 'Leave out what tells this machine'
complete -c kexecprepctl -n '__fish_seen_subcommand_from diff' -a daemon

set -l load '__fish_seen_subcommand_from load'
complete -c kexecprepctl -n $load -F
complete -c kexecprepctl -n $load -l entry -x -d 'Load a boot entry'
complete -c kexecprepctl -n $load -l profile -x -d 'Of a unified kernel image, that profile'
complete -c kexecprepctl -n $load -l syscall -x -a 'auto load file' -d 'How to load it'
complete -c kexecprepctl -n $load -l ahead -d 'Only if nothing comes before it'
complete -c kexecprepctl -n $load -l again -d 'Load what was loaded before'
complete -c kexecprepctl -n $load -l initrd -r -F -d 'Its initrd'
complete -c kexecprepctl -n $load -l dry-run -d 'Load nothing, and print what would be'
complete -c kexecprepctl -n $load -l no-efi -d 'Leave EFI out'
complete -c kexecprepctl -n $load -l no-receipt -d 'Do not tell what was handed over'

complete -c kexecprepctl -n '__fish_seen_subcommand_from run' -x \
    -a '(__fish_complete_subcommand --fcs-skip=2)'

set -l adopt '__fish_seen_subcommand_from adopt'
complete -c kexecprepctl -n $adopt -l undo -d 'Leave the units to themselves again'
set -l units 'systemctl list-unit-files --type=service --no-legend --no-pager 2> /dev/null'
complete -c kexecprepctl -n $adopt -a "($units | string split -f 1 ' ')"

complete -c kexecprepctl -n '__fish_seen_subcommand_from help' -a "$commands"
