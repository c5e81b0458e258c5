// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Who belongs to the recorded families, and the call to the recorder when one of them becomes another program: it may
// be a Python that the recorder has not met.
//
//     named ─▶ member ─ starts ─▶ member ─ becomes another program ─▶ call

#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>

// The pid namespace that the recorder is in, 0 where that is the first one, whose numbers everybody has.
const volatile u64 namespace_device = 0;
const volatile u64 namespace_inode = 0;

struct bpf_pidns_info {
    u32 pid;
    u32 tgid;
};

// The process and the thread, numbered as the recorder's user sees them. One in a namespace below the recorder's has
// no such number that the kernel tells, and keeps that of the first one.
static __always_inline u64 current_thread(void)
{
    u64 thread = bpf_get_current_pid_tgid();
    struct bpf_pidns_info seen = {};
    if (!namespace_inode || bpf_get_ns_current_pid_tgid(namespace_device, namespace_inode, &seen, sizeof seen))
        return thread;
    return (u64)seen.tgid << 32 | seen.pid;
}

// Members by the numbers of the first namespace, and those that the recorder has named by the numbers that it sees.
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

// Makes the generator of the Rust side know the layout.
const struct call call_layout;

// Processes that have become another program.
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 14);
} calls SEC(".maps");

// 1: every process of the machine is a member.
u32 everyone;

// Members and calls that there was no room for.
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

// A thread ends, and a process if it was the first one.
static __always_inline void leave_family(void)
{
    u64 number = (u32)bpf_get_current_pid_tgid();
    u64 named = NAMED | (u32)current_thread();
    bpf_map_delete_elem(&family, &number);
    bpf_map_delete_elem(&family, &named);
}

// Wakes the recorder.
static __always_inline void call_recorder(void)
{
    struct call call = { .time_ns = bpf_ktime_get_ns(), .pid = current_thread() >> 32 };
    if (bpf_ringbuf_output(&calls, &call, sizeof call, 0))
        __sync_fetch_and_add(&unheard, 1);
}
