// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The set of followed processes: those that the recorder selects, and their descendants. An exec of one is reported,
// because the new program may be a Python without probes.
//
//     selected ─▶ member ─ fork ─▶ member ─ exec ─▶ report to the recorder

#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>

// The pid namespace of the recorder; 0 if it is the initial one, whose pids the kernel uses.
const volatile u64 namespace_device = 0;
const volatile u64 namespace_inode = 0;

struct bpf_pidns_info {
    u32 pid;
    u32 tgid;
};

// Process and thread with their ids in the recorder's pid namespace. For a process in a namespace below that one, the
// kernel has no helper; the ids are then those of the initial namespace.
static __always_inline u64 current_thread(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct bpf_pidns_info seen = {};
    if (!namespace_inode || bpf_get_ns_current_pid_tgid(namespace_device, namespace_inode, &seen, sizeof seen))
        return thread;
    return (u64)seen.tgid << 32 | seen.pid;
}

// Keys are pids of the initial namespace. This bit marks pids of the recorder's namespace, which the recorder adds.
#define NAMED (1ULL << 32)

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 14);
    __type(key, u64);
    __type(value, u8);
} family SEC(".maps");

struct call {
    u64 time_ns;
    u64 pid;
};

// Emits the layout for the skeleton generator.
const struct call call_layout;

// Exec calls of followed processes.
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 14);
} calls SEC(".maps");

// 1: all processes of the machine are followed.
u32 everyone;

// Number of members and exec reports for which there was no room.
u64 unheard;

static __always_inline void join_family(u64 number)
{
    u8 yes = 1;
    if (bpf_map_update_elem(&family, &number, &yes, BPF_ANY))
        __sync_fetch_and_add(&unheard, 1);
}

static __always_inline bool is_member(void)
{
    u64 number = bpf_get_current_pid_tgid() >> 32;
    u64 named = NAMED | current_thread() >> 32;
    return everyone || bpf_map_lookup_elem(&family, &number) || bpf_map_lookup_elem(&family, &named);
}

// Removes a thread that exits; the main thread stands for its process.
static __always_inline void leave_family(void)
{
    u64 number = (u32)bpf_get_current_pid_tgid();
    u64 named = NAMED | (u32)current_thread();
    bpf_map_delete_elem(&family, &number);
    bpf_map_delete_elem(&family, &named);
}

// Reports an exec and wakes the recorder.
static __always_inline void call_recorder(void)
{
    struct call call = { .time_ns = bpf_ktime_get_ns(), .pid = current_thread() >> 32 };
    if (bpf_ringbuf_output(&calls, &call, sizeof call, 0))
        __sync_fetch_and_add(&unheard, 1);
}
