# shellcheck shell=sh disable=SC2154 # lib.sh says where the checkout is
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell functions that build-deb and build-rpm share; read after lib.sh.

# The version that the code names.
code_version() {
    sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$checkout/kexecprepd/__init__.py"
}

# Copy the checkout to a directory, without what building and testing leave in it.
copy_tree() { # DIRECTORY
    mkdir -p "$1"
    tar -C "$checkout" -c --exclude-vcs --exclude=__pycache__ --exclude='*.egg-info' \
        --exclude='./.?*_cache' --exclude=./.cache --exclude=./.hypothesis --exclude=./build \
        --exclude=./dist . | tar -C "$1" -x --no-same-owner
}

# Make a directory that is gone when the script is; its path is in $work.
make_work_directory() {
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    trap 'exit 1' HUP INT TERM
}

# Leave built packages in a directory, as its owner's, and say where they are.
deliver() { # DIRECTORY FILE...
    target=$1
    shift
    if [ ! -d "$target" ]; then
        mkdir -p "$target"
        chown --reference="$checkout" "$target"
    fi
    for file in "$@"; do
        install -m 644 "$file" "$target/"
        chown --reference="$target" "$target/$(basename "$file")"
        echo "Built $target/$(basename "$file")"
    done
}
