#!/bin/bash
# nhc_style.sh CONF: a node health check in one bash process, as LBNL NHC 1.5 (github.com/mej/nhc) does it: a file of
# `host || check` lines, tables that are filled line by line when a check first needs them, `ps` and `df` for what bash
# cannot read itself, and a debug call for every item. Our own code, for a comparison. In favour of NHC it leaves out what
# NHC does besides: to source a directory of scripts, to look for a resource manager, to start and to end a watchdog.

DEBUG=0
CHECKS=()
FS_DEV=() FS_MNTPT=() FS_TYPE=() FS_OPTS=()
DF_MNTPT=() DF_FREE=() DF_PCT=()
DFI_MNTPT=() DFI_FREE=()
PS_PROCS=() PS_USER=() PS_ARGS=()
HW_SOCKETS=0 HW_THREADS=0 HW_RAM_TOTAL=0 HW_SWAP_TOTAL=0
HW_ETH_DEV=()

function dbg() {
    if [[ $DEBUG -ne 0 ]]; then
        echo "DEBUG:  $*" >&2
    fi
}

function die() {
    echo "ERROR:  nhc:  Health check failed:  $*"
    exit 1
}

# A regular expression between slashes, or else a pattern of the shell; `!` before it turns it round.
function mcheck() {
    local STRING="$1" MATCH="$2" NEG=0 RC

    if [[ "${MATCH:0:1}" == '!' ]]; then
        NEG=1
        MATCH="${MATCH:1}"
    fi
    if [[ "${MATCH:0:1}" == '/' && "${MATCH: -1:1}" == '/' ]]; then
        [[ "$STRING" =~ ${MATCH:1:${#MATCH}-2} ]]
    else
        [[ "$STRING" == $MATCH ]]
    fi
    RC=$?
    dbg "match of $STRING with $MATCH: $RC"
    return $((NEG ? !RC : RC))
}

# Kilobytes of 10, 10k, 10M, 10G or 10T, into the variable that is named.
function parse_size() {
    local SIZE="${1%[bB]}"

    case "$SIZE" in
        *[kK]) SIZE="${SIZE%?}" ;;
        *[mM]) SIZE=$((${SIZE%?} * 1024)) ;;
        *[gG]) SIZE=$((${SIZE%?} * 1024 * 1024)) ;;
        *[tT]) SIZE=$((${SIZE%?} * 1024 * 1024 * 1024)) ;;
    esac
    eval "$2=$SIZE"
}

function load_conf() {
    local LINE TARGET CHECK

    while read -r LINE; do
        TARGET="${LINE%%||*}"
        CHECK="${LINE#*||}"
        TARGET="${TARGET%% *}"
        if [[ -z "$TARGET" || "${TARGET:0:1}" == '#' ]]; then
            continue
        fi
        mcheck "$HOSTNAME" "$TARGET" || continue
        CHECKS+=("$CHECK")
    done < "$1"
}

function gather_mounts() {
    local FIELD

    while read -r -a FIELD; do
        FS_DEV+=("${FIELD[0]}")
        FS_MNTPT+=("${FIELD[1]}")
        FS_TYPE+=("${FIELD[2]}")
        FS_OPTS+=("${FIELD[3]}")
        dbg "file system ${FIELD[*]}"
    done < /proc/mounts
}

function gather_df() {
    local IFS=$'\n' FIELD LINES i

    LINES=($(df -Tka))
    IFS=$' \t\n'
    for ((i = 1; i < ${#LINES[*]}; i++)); do
        FIELD=(${LINES[$i]})
        DF_FREE+=("${FIELD[4]/#-/0}")
        DF_PCT+=("${FIELD[5]%\%}")
        DF_MNTPT+=("${FIELD[6]}")
        dbg "space of ${FIELD[*]}"
    done
}

function gather_dfi() {
    local IFS=$'\n' FIELD LINES i

    LINES=($(df -Tia))
    IFS=$' \t\n'
    for ((i = 1; i < ${#LINES[*]}; i++)); do
        FIELD=(${LINES[$i]})
        DFI_FREE+=("${FIELD[4]/#-/0}")
        DFI_MNTPT+=("${FIELD[6]}")
        dbg "inodes of ${FIELD[*]}"
    done
}

function gather_cpus() {
    local FIELD CPUDATA
    local -a SEEN

    CPUDATA=$(< /proc/cpuinfo)
    while read -r -a FIELD; do
        if [[ "${FIELD[0]} ${FIELD[1]}" == 'processor :' ]]; then
            ((HW_THREADS++))
        elif [[ "${FIELD[0]} ${FIELD[1]} ${FIELD[2]}" == 'physical id :' && -z "${SEEN[${FIELD[3]}]}" ]]; then
            SEEN[${FIELD[3]}]=1
            ((HW_SOCKETS++))
        fi
    done < <(echo "$CPUDATA")
    dbg "$HW_SOCKETS sockets, $HW_THREADS threads"
}

function gather_memory() {
    local FIELD MEMDATA

    MEMDATA=$(< /proc/meminfo)
    while read -r -a FIELD; do
        if [[ "${FIELD[0]}" == 'MemTotal:' ]]; then
            HW_RAM_TOTAL=${FIELD[1]}
        elif [[ "${FIELD[0]}" == 'SwapTotal:' ]]; then
            HW_SWAP_TOTAL=${FIELD[1]}
        fi
    done < <(echo "$MEMDATA")
    dbg "$HW_RAM_TOTAL kB of memory, $HW_SWAP_TOTAL kB of swap"
}

function gather_eth() {
    local FIELD DEVDATA

    DEVDATA=$(< /proc/net/dev)
    while read -r -a FIELD; do
        if [[ "${FIELD[0]}" == *:* ]]; then
            HW_ETH_DEV+=("${FIELD[0]%%:*}")
        fi
    done < <(echo "$DEVDATA")
    dbg "network interfaces ${HW_ETH_DEV[*]}"
}

function gather_processes() {
    local IFS=$'\n' LINES LINE PID i

    LINES=($(COLUMNS=1024 ps axo 'user:32,uid,pid,ppid,pcpu,pmem,rss,vsz,bsdtime,args'))
    IFS=$' \t\n'
    for ((i = 1; i < ${#LINES[*]}; i++)); do
        LINE=(${LINES[$i]})
        PID=${LINE[2]}
        PS_PROCS+=("$PID")
        PS_USER[$PID]="${LINE[0]}"
        PS_ARGS[$PID]="${LINE[*]:9}"
        dbg "process $PID of ${PS_USER[$PID]}: ${PS_ARGS[$PID]}"
    done
}

function check_fs_mount() {
    local FS="$1" TYPE="$2" OPTIONS="$3" i

    [[ ${#FS_DEV[*]} -gt 0 ]] || gather_mounts
    for ((i = 0; i < ${#FS_DEV[*]}; i++)); do
        [[ "${FS_MNTPT[$i]}" == "$FS" ]] || continue
        mcheck "${FS_TYPE[$i]}" "${TYPE:-*}" || die "$FUNCNAME:  $FS has type ${FS_TYPE[$i]} (should match $TYPE)"
        mcheck "${FS_OPTS[$i]}" "${OPTIONS:-*}" || die "$FUNCNAME:  $FS has options ${FS_OPTS[$i]}"
        return 0
    done
    die "$FUNCNAME:  $FS not mounted"
}

function check_fs_mount_rw() {
    check_fs_mount "$1" '*' '/(^|,)rw($|,)/'
}

function check_fs_free() {
    local FS="$1" MIN="$2" i

    [[ ${#DF_MNTPT[*]} -gt 0 ]] || gather_df
    for ((i = 0; i < ${#DF_MNTPT[*]}; i++)); do
        [[ "${DF_MNTPT[$i]}" == "$FS" ]] || continue
        if [[ $((100 - DF_PCT[i])) -lt ${MIN%\%} ]]; then
            die "$FUNCNAME:  $FS has only ${DF_FREE[$i]} kB free, minimum is $MIN"
        fi
        return 0
    done
}

function check_fs_ifree() {
    local FS="$1" MIN="$2" i

    [[ ${#DFI_MNTPT[*]} -gt 0 ]] || gather_dfi
    for ((i = 0; i < ${#DFI_MNTPT[*]}; i++)); do
        [[ "${DFI_MNTPT[$i]}" == "$FS" ]] || continue
        if [[ ${DFI_FREE[$i]} -lt $MIN ]]; then
            die "$FUNCNAME:  $FS has only ${DFI_FREE[$i]} free inodes, minimum is $MIN"
        fi
        return 0
    done
}

function check_hw_cpuinfo() {
    [[ $HW_THREADS -gt 0 ]] || gather_cpus
    [[ $HW_SOCKETS -eq $1 ]] || die "$FUNCNAME:  CPU socket count ($HW_SOCKETS) does not match expected ($1)."
    [[ $HW_THREADS -eq $2 ]] || die "$FUNCNAME:  CPU thread count ($HW_THREADS) does not match expected ($2)."
}

function check_hw_physmem() {
    local MIN MAX

    [[ $HW_RAM_TOTAL -gt 0 ]] || gather_memory
    parse_size "$1" MIN
    parse_size "$2" MAX
    [[ $HW_RAM_TOTAL -ge $MIN ]] || die "$FUNCNAME:  RAM size ($HW_RAM_TOTAL kB) less than minimum ($MIN kB)."
    [[ $HW_RAM_TOTAL -le $MAX ]] || die "$FUNCNAME:  RAM size ($HW_RAM_TOTAL kB) greater than maximum ($MAX kB)."
}

function check_hw_swap() {
    local MIN MAX

    [[ $HW_RAM_TOTAL -gt 0 ]] || gather_memory
    parse_size "$1" MIN
    parse_size "$2" MAX
    [[ $HW_SWAP_TOTAL -ge $MIN ]] || die "$FUNCNAME:  swap size ($HW_SWAP_TOTAL kB) less than minimum ($MIN kB)."
    [[ $HW_SWAP_TOTAL -le $MAX ]] || die "$FUNCNAME:  swap size ($HW_SWAP_TOTAL kB) greater than maximum ($MAX kB)."
}

function check_hw_eth() {
    local DEV

    [[ ${#HW_ETH_DEV[*]} -gt 0 ]] || gather_eth
    for DEV in "${HW_ETH_DEV[@]}"; do
        if mcheck "$DEV" "$1"; then
            return 0
        fi
    done
    die "$FUNCNAME:  Ethernet device $1 not detected."
}

function check_ps_service() {
    local OWNER="$1" MATCH="*$2" ARGS PID

    [[ ${#PS_PROCS[*]} -gt 0 ]] || gather_processes
    for PID in "${PS_PROCS[@]}"; do
        ARGS=(${PS_ARGS[$PID]})
        mcheck "${ARGS[0]}" "$MATCH" || continue
        mcheck "${PS_USER[$PID]}" "$OWNER" || continue
        return 0
    done
    die "$FUNCNAME:  Service $2 (process $MATCH) owned by $OWNER not running"
}

function check_ps_loadavg() {
    local LOADAVG

    read -r -a LOADAVG < /proc/loadavg
    [[ ${LOADAVG[0]%%.*} -lt $1 ]] || die "$FUNCNAME:  1-minute load average too high (${LOADAVG[0]} >= $1)"
}

set -f
HOSTNAME="${HOSTNAME%%.*}"
load_conf "$1"
for CHECK in "${CHECKS[@]}"; do
    dbg "Running check:  \"$CHECK\""
    eval "$CHECK" || die "$CHECK"
done
exit 0
