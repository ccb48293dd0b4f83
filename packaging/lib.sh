# shellcheck shell=sh disable=SC2034 # used by the scripts that read this
# SPDX-License-Identifier: LGPL-2.1-or-later
# Shell functions that the scripts beside it share; they run on Debian 12 and later.

checkout=$(cd "$(dirname "$0")/.." && pwd)

# Everything that the daemon needs to run.
runtime_packages="python3 python3-pydbus python3-pyudev python3-sdnotify"

die() {
    echo "$(basename "$0"): $1" >&2
    [ -z "${2:-}" ] || echo "  $2" >&2
    exit 1
}

# Start the script again as root, if it is not.
become_root() {
    [ "$(id -u)" -ne 0 ] || return 0
    command -v sudo > /dev/null || die "this needs root" "Run it as root, or install sudo."
    exec sudo -- "$0" "$@"
}

# Install the Debian packages that are missing, and say so.
install_missing() {
    missing=
    for package in "$@"; do
        case $(dpkg-query -W -f '${Status}' "$package" 2> /dev/null) in
            "install ok installed") ;;
            *) missing="$missing $package" ;;
        esac
    done
    [ -n "$missing" ] || return 0
    command -v apt-get > /dev/null || die "these Debian packages are missing:$missing" \
        "This script installs them on Debian; elsewhere install their likes yourself."
    echo "Installing Debian packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # A broken third-party list is no reason to stop: what is missing shows at the next step.
    apt-get update -qq || echo "Some package lists could not be updated; going on with the others." >&2
    # shellcheck disable=SC2086 # words are wanted
    apt-get install -y -qq --no-install-recommends $missing < /dev/null > /dev/null \
        || die "the packages could not be installed" "apt-get's own words are above."
}
