// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The table of code objects that have been defined to the recorder. A key is an address and a process. Freeing the
// object, process exit and exec remove entries.
//
// The table is 4-way set associative. In a full bucket a new code object evicts another one, which is defined again
// at its next event.

#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>

#define BUCKET_BITS 14
#define WAYS 4

struct code {
    u64 word;  // the address and the process, but for one bit that the bucket's number has; 0 if there is none
    u64 names; // what the marker says of this code, folded; the lowest bit says whether it can suspend itself
};

struct bucket {
    struct code ways[WAYS];
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1 << BUCKET_BITS);
    __type(key, u32);
    __type(value, struct bucket);
} codes SEC(".maps");

// Processes with code objects in the table.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 13);
    __type(key, u32);
    __type(value, u8);
} processes SEC(".maps");

// 1 once `processes` was full. From then on any process that ends may have entries.
u32 too_many_processes;

#define PID_BITS 22

// Addresses are below 2^47 and even ones of 16 bytes, pids are below 2^22: one bit more than a word has.
static __always_inline u64 word_of(u64 code, u32 pid)
{
    return code >> 5 << PID_BITS | pid;
}

static __always_inline u32 bucket_number(u64 code, u32 pid)
{
    u64 mixed = word_of(code, pid) * 0x9e3779b97f4a7c15ULL >> (65 - BUCKET_BITS);
    return mixed << 1 | (code >> 4 & 1);
}

static __always_inline struct bucket *bucket_of(u64 code, u32 pid)
{
    u32 number = bucket_number(code, pid);
    return bpf_map_lookup_elem(&codes, &number);
}

#define SUSPENDS_BIT 1ULL

// Finds the entry of a code object. The marker's names must be those of its definition.
static __always_inline struct code *find_code(u64 address, u32 pid, u64 names)
{
    u64 word = word_of(address, pid);
    struct bucket *bucket = bucket_of(address, pid);
    if (!bucket)
        return 0;
    for (int way = 0; way < WAYS; way++) {
        struct code *code = &bucket->ways[way];
        if (code->word == word)
            return ((code->names ^ names) & ~SUSPENDS_BIT) ? 0 : code;
    }
    return 0;
}

static __always_inline void keep_code(u64 address, u32 pid, u64 names, u64 now)
{
    u64 word = word_of(address, pid);
    struct bucket *bucket = bucket_of(address, pid);
    u8 yes = 1;
    if (bpf_map_update_elem(&processes, &pid, &yes, BPF_ANY))
        too_many_processes = 1;
    if (!bucket)
        return;
    // If no entry is free, the clock selects the one to evict.
    struct code *place = &bucket->ways[now >> 4 & (WAYS - 1)];
    for (int way = 0; way < WAYS; way++)
        if (!bucket->ways[way].word)
            place = &bucket->ways[way];
    for (int way = 0; way < WAYS; way++)
        if (bucket->ways[way].word == word)
            place = &bucket->ways[way];
    place->word = 0;
    asm volatile("" ::: "memory");
    place->names = names;
    asm volatile("" ::: "memory");
    place->word = word;
}

// Removes a code object. Returns whether the table had it.
static __always_inline bool forget_code(u64 address, u32 pid)
{
    u64 word = word_of(address, pid);
    struct bucket *bucket = bucket_of(address, pid);
    if (!bucket)
        return false;
    for (int way = 0; way < WAYS; way++) {
        if (bucket->ways[way].word == word) {
            bucket->ways[way].word = 0;
            return true;
        }
    }
    return false;
}

static long forget_in_bucket(void *map, u32 *number, struct bucket *bucket, u32 *pid)
{
    (void)map, (void)number;
    for (int way = 0; way < WAYS; way++)
        if ((bucket->ways[way].word & ((1 << PID_BITS) - 1)) == *pid)
            bucket->ways[way].word = 0;
    return 0;
}

// Removes all code objects of a process. Returns whether it may have had any.
static __always_inline bool forget_process(u32 pid)
{
    if (bpf_map_delete_elem(&processes, &pid) && !too_many_processes)
        return false;
    bpf_for_each_map_elem(&codes, forget_in_bucket, &pid, 0);
    return true;
}
