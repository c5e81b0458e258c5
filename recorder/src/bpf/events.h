// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Data that is sent to the recorder. Events have a fixed size and go through an array that the recorder has mapped,
// at a fifth of the cost of a BPF ring buffer. Data of variable length, a *body*, goes through a ring buffer; an
// event in the array refers to it and gives its position in the order of events.
//
//     events   │ entry │ return │ defined 7 │ entry │ audit 8 │ return │ …
//     bodies              │ 7: file, qualname … │ 8: event's name │ …

#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>

#define SHORT_NAME 240
#define LONG_NAME 4096
#define TEXT 512

enum kind {
    FUNCTION_ENTRY,
    FUNCTION_RETURN,
    LINE,
    GC_START,
    GC_DONE,
    IMPORT_START,
    IMPORT_DONE,
    AUDIT,
    DEFINED,
    FREED,
    GONE,
    LOST,
    SETTLED, // only as a body
};

struct event {
    u64 time_ns;
    u32 pid;
    u32 tid;
    u64 what; // a code's address; a body's number, for a name that serves one event with its highest bit set; gc:
              // generation or count
    s32 line; // import: found
    u32 stamp; // the kind, and above it which time round the array this is, from 1; written last
};

// Marks an id that is valid for one event, not for a code object.
#define ONCE (1ULL << 63)

// The header of every body.
struct body {
    u64 number;
    u32 kind; // of the event that it belongs to
    u32 unused;
};

struct text {
    struct body body;
    s64 length; // of the string with its zero, negative where there is none
    char bytes[TEXT];
};

struct loss {
    struct body body;
    u64 count;
    u64 from_ns;
};

// A string's characters as they lie in memory: `width` bytes each, 0 for UTF-8 with a zero at the end.
struct name {
    u32 bytes;
    u32 width;
};

struct definition {
    struct body body;
    u64 what; // the id in events of this code object
    struct name file;
    struct name qualname;
    s32 first_line; // -1 if unknown
    u32 found;      // 0: the code was not found, and the names are the marker's own arguments
    u32 cut;        // 1: a name was truncated
    u32 plain;      // 1: `qualname` is only a name
};

struct short_definition {
    struct definition definition;
    u8 file[SHORT_NAME];
    u8 qualname[SHORT_NAME];
};

struct long_definition {
    struct definition definition;
    u8 file[LONG_NAME];
    u8 qualname[LONG_NAME];
};

// Emits the layouts for the skeleton generator.
const struct event event_layout;
const struct body body_layout;
const struct text text_layout;
const struct loss loss_layout;
const struct definition definition_layout;

// The binary logarithm of the capacity in events.
const volatile u32 event_bits = 9;

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1 << 9);
    __type(key, u32);
    __type(value, struct event);
} events SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 16);
} bodies SEC(".maps");

// Number of claimed slots, and number of events that the recorder has read. Each has its own cache line.
u64 head __attribute__((aligned(64)));
u64 taken __attribute__((aligned(64)));

// The number of the last body. Numbers are unique within a recording.
u64 last_body __attribute__((aligned(64)));

struct losing {
    u64 count;
    u64 from_ns;
    u64 to_ns;
};

// The shared key for threads that find `losses` full. The recorder creates its entry.
#define ALL_OTHERS (~0ULL)

// Losses of threads that have not been sent yet.
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1 << 14);
    __type(key, u64);
    __type(value, struct losing);
} losses SEC(".maps");

// Number of entries of `losses`.
u64 losing_threads;

// Claims a slot for an event. Fails if the array is full, or after 64 lost races.
static __always_inline bool claim(u64 *place)
{
    u64 at = *(volatile u64 *)&head;
    for (int tries = 0; tries < 64; tries++) {
        if (at - *(volatile u64 *)&taken >= 1ULL << event_bits)
            return false;
        u64 seen = __sync_val_compare_and_swap(&head, at, at + 1);
        *place = at;
        if (seen == at)
            return true;
        at = seen;
    }
    return false;
}

static __always_inline void put(u64 place, u64 thread, u64 now, enum kind kind, u64 what, s32 line)
{
    u32 index = place & ((1ULL << event_bits) - 1);
    struct event *event = bpf_map_lookup_elem(&events, &index);
    if (!event)
        return;
    event->time_ns = now;
    event->pid = thread >> 32;
    event->tid = (u32)thread;
    event->what = what;
    event->line = line;
    // x86 does not reorder stores; the barrier keeps the compiler from it.
    asm volatile("" ::: "memory");
    *(volatile u32 *)&event->stamp = (u32)((place >> event_bits) + 1) << 8 | kind;
}

static __always_inline u64 begin(struct body *body, enum kind kind)
{
    body->number = __sync_fetch_and_add(&last_body, 1) + 1;
    body->kind = kind;
    body->unused = 0;
    return body->number;
}

static __always_inline int count_loss(struct losing *losing, u64 now)
{
    if (__sync_fetch_and_add(&losing->count, 1) == 0)
        losing->from_ns = now;
    losing->to_ns = now;
    return 0;
}

// Counts an event for which there was no slot.
static __noinline int lose(u64 thread, u64 now)
{
    u64 others = ALL_OTHERS;
    struct losing *losing = bpf_map_lookup_elem(&losses, &thread);
    if (losing)
        return count_loss(losing, now);
    struct losing first = { .count = 1, .from_ns = now, .to_ns = now };
    if (bpf_map_update_elem(&losses, &thread, &first, BPF_NOEXIST) == 0) {
        __sync_fetch_and_add(&losing_threads, 1);
        return 0;
    }
    losing = bpf_map_lookup_elem(&losses, &others);
    return losing ? count_loss(losing, now) : 0;
}

// Sends the pending loss of a thread, if any. Returns whether the thread may send events.
static __noinline bool tell_loss(u64 thread)
{
    u64 place = 0;
    struct losing *losing = bpf_map_lookup_elem(&losses, &thread);
    if (!losing)
        return true;
    struct loss *loss = bpf_ringbuf_reserve(&bodies, sizeof *loss, 0);
    if (!loss)
        return false;
    if (!claim(&place)) {
        bpf_ringbuf_discard(loss, BPF_RB_NO_WAKEUP);
        return false;
    }
    u64 number = begin(&loss->body, LOST);
    loss->count = losing->count;
    loss->from_ns = losing->from_ns;
    u64 to_ns = losing->to_ns;
    bpf_ringbuf_submit(loss, BPF_RB_NO_WAKEUP);
    put(place, thread, to_ns, LOST, number, 0);
    bpf_map_delete_elem(&losses, &thread);
    __sync_fetch_and_sub(&losing_threads, 1);
    return true;
}

static __always_inline bool may_record(u64 thread)
{
    return losing_threads == 0 || tell_loss(thread);
}

static __always_inline int send(u64 thread, u64 now, enum kind kind, u64 what, s32 line)
{
    u64 place;
    if (!may_record(thread) || !claim(&place))
        return lose(thread, now);
    put(place, thread, now, kind, what, line);
    return 0;
}
