// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// A cache of the code object of each open frame, so that a return need not read the frame. The return removes the
// entry, because the address is reused. A cached code object must also match the names of the marker.

#pragma once

#include "codes.h"

#define FRAME_BITS 13

struct entered {
    u64 word; // the frame's address and the process, but for two bits that the index has; 0 if free
    u64 code;
};

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1 << FRAME_BITS);
    __type(key, u32);
    __type(value, struct entered);
} frames SEC(".maps");

// Addresses are below 2^47 and even ones of 8 bytes: two bits more than there is room for beside a pid. Frames of
// nested calls are adjacent in memory, and so are their indices.
static __always_inline struct entered *place_of(u64 frame, u32 pid, u64 *word)
{
    u32 place = (frame >> 3 ^ pid << 5) & ((1 << FRAME_BITS) - 1);
    *word = frame >> 5 << PID_BITS | pid;
    return bpf_map_lookup_elem(&frames, &place);
}

static __always_inline void enter_frame(u64 frame, u32 pid, u64 code)
{
    u64 word;
    struct entered *place = place_of(frame, pid, &word);
    if (!place)
        return;
    place->word = word;
    place->code = code;
}

// The code object of a frame, 0 if not cached. `last`: this is the last event of the frame, so the entry is removed.
static __always_inline u64 entered_code(u64 frame, u32 pid, bool last)
{
    u64 word;
    struct entered *place = place_of(frame, pid, &word);
    if (!place || place->word != word)
        return 0;
    if (last)
        place->word = 0;
    return place->code;
}
