// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Counts calls in the kernel instead of sending events. Each slot of `codes` has a tally, and each thread a stack of
// open calls, from which self and total times are computed. The recorder has both mapped: no event is copied.
//
//     entry   tally of the function: calls + 1; a call on the thread's stack
//     return  off the stack; tally of the function: its time, without that of the calls that it made
//
// Nothing here needs more than one writer at a time. Markers are hit by the thread that holds the interpreter's lock,
// and a tally belongs to one process, a stack to one thread. Rules: `output/counts/call_stack.rs`.

#pragma once

#include "codes.h"
#include "events.h"

// 1: hits are counted, and only definitions are sent.
const volatile bool tallying = false;

struct tally {
    u64 function; // the number of its definition, 0 if there is none
    u64 calls;
    u64 self_ns;
    u64 total_ns;
    u64 ended_ns; // when a thread ended in which it was open
};

struct tallies {
    struct tally ways[WAYS];
};

// For each bucket of `codes`. The recorder makes it as long as that where hits are counted.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct tallies);
} tallies SEC(".maps");

// Deeper calls are counted without times.
#define MAX_DEPTH 256
#define STACK_BITS 11
#define STACK_WAYS 8

struct open {
    u64 code;
    u64 entered_ns;
    u64 called_ns; // time of calls that it made and that have ended
};

struct stack {
    u64 thread; // 0: nobody's
    u64 depth;
    struct open opens[MAX_DEPTH];
};

// By thread.
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct stack);
} stacks SEC(".maps");

// A tally that was evicted from the map by another function.
struct settled {
    struct body body;
    struct tally tally;
};

// Emits the layout for the skeleton generator.
const struct settled settled_layout;

// Hits of markers without a code object, and failures. One set for every few processors, to avoid contention on
// cache lines.
struct hits {
    u64 lines;
    u64 collections;
    u64 imports;
    u64 audits;
    u64 unknown; // entries of functions that could not be found, or defined
    u64 unsettled; // calls in tallies that there was no room to send
    u64 untimed; // calls that are counted, but not timed
} __attribute__((aligned(64)));

#define HIT_SETS 16

struct hits tallied[HIT_SETS];

static __always_inline struct hits *hits_here(void)
{
    return &tallied[bpf_get_smp_processor_id() & (HIT_SETS - 1)];
}

static __always_inline struct tally *tally_of(u64 code, u32 pid)
{
    u64 word = word_of(code, pid);
    u32 number = bucket_number(code, pid);
    struct bucket *bucket = bpf_map_lookup_elem(&codes, &number);
    struct tallies *beside = bpf_map_lookup_elem(&tallies, &number);
    if (!bucket || !beside)
        return 0;
    for (int way = 0; way < WAYS; way++)
        if (bucket->ways[way].word == word)
            return &beside->ways[way];
    return 0;
}

// Starts the tally of a new code object, and sends the tally that the slot had before.
static __always_inline void begin_tally(u64 code, u32 pid, u64 function)
{
    struct tally *tally = tally_of(code, pid);
    if (!tally)
        return;
    struct settled settled = { .tally = *tally };
    tally->function = 0;
    if (settled.tally.function) {
        begin(&settled.body, SETTLED);
        if (bpf_ringbuf_output(&bodies, &settled, sizeof settled, BPF_RB_NO_WAKEUP))
            __sync_fetch_and_add(&hits_here()->unsettled, settled.tally.calls);
    }
    tally->calls = tally->self_ns = tally->total_ns = 0;
    tally->function = function;
}

// The stack of a thread. If it has none and `wanted` is set, a free one is claimed.
static __always_inline struct stack *stack_of(u64 thread, bool wanted)
{
    for (int way = 0; way < STACK_WAYS; way++) {
        u32 place = (u32)(thread + way) & ((1 << STACK_BITS) - 1);
        struct stack *stack = bpf_map_lookup_elem(&stacks, &place);
        if (stack && stack->thread == thread)
            return stack;
    }
    for (int way = 0; wanted && way < STACK_WAYS; way++) {
        u32 place = (u32)(thread + way) & ((1 << STACK_BITS) - 1);
        struct stack *stack = bpf_map_lookup_elem(&stacks, &place);
        if (stack && !stack->thread && !__sync_val_compare_and_swap(&stack->thread, 0, thread)) {
            stack->depth = 0;
            return stack;
        }
    }
    return 0;
}

static __always_inline void tally_entry(struct tally *tally, u64 thread, u64 now, u64 code)
{
    struct stack *stack = stack_of(thread, true);
    tally->calls++;
    u64 depth = stack ? stack->depth : MAX_DEPTH;
    if (depth < MAX_DEPTH) {
        struct open *open = &stack->opens[depth & (MAX_DEPTH - 1)];
        open->code = code;
        open->entered_ns = now;
        open->called_ns = 0;
    } else {
        __sync_fetch_and_add(&hits_here()->untimed, 1);
    }
    if (stack)
        stack->depth = depth + 1;
}

// Whether a function is open below a call of it.
static __noinline bool is_open_below(struct stack *stack, u64 at, u64 code)
{
    for (u32 below = 0; below < MAX_DEPTH; below++) {
        if (below >= at)
            return false;
        if (stack->opens[(at - 1 - below) & (MAX_DEPTH - 1)].code == code)
            return true;
    }
    return false;
}

static __noinline int tally_return(struct tally *tally, u64 thread, u64 now, u64 code)
{
    struct stack *stack = stack_of(thread, false);
    if (!tally || !stack || !stack->depth)
        return 0;
    u64 depth = stack->depth, called_ns = 0;
    if (depth > MAX_DEPTH) {
        stack->depth = depth - 1;
        return 0;
    }
    for (u32 above = 0; above < MAX_DEPTH; above++) {
        if (above >= depth)
            return 0;
        u64 at = depth - 1 - above;
        struct open *open = &stack->opens[at & (MAX_DEPTH - 1)];
        called_ns += open->called_ns;
        if (open->code != code)
            continue;
        u64 took_ns = now - open->entered_ns;
        stack->depth = at;
        tally->self_ns += took_ns > called_ns ? took_ns - called_ns : 0;
        if (at)
            stack->opens[(at - 1) & (MAX_DEPTH - 1)].called_ns += took_ns;
        if (!is_open_below(stack, at, code))
            tally->total_ns += took_ns;
        return 0;
    }
    return 0;
}

static __always_inline int tally_call(u64 thread, u64 now, enum kind kind, u64 code)
{
    struct tally *tally = code ? tally_of(code, thread >> 32) : 0;
    if (kind == FUNCTION_RETURN)
        return tally ? tally_return(tally, thread, now, code) : 0;
    if (tally)
        tally_entry(tally, thread, now, code);
    else
        __sync_fetch_and_add(&hits_here()->unknown, 1);
    return 0;
}

static __always_inline void tally_hit(enum kind kind)
{
    struct hits *hits = hits_here();
    if (kind == LINE)
        __sync_fetch_and_add(&hits->lines, 1);
    else if (kind == GC_DONE)
        __sync_fetch_and_add(&hits->collections, 1);
    else if (kind == IMPORT_DONE)
        __sync_fetch_and_add(&hits->imports, 1);
    else if (kind == AUDIT)
        __sync_fetch_and_add(&hits->audits, 1);
}

// Closes a call of a thread that exits. `inner_ns` is the time of its open callee. Calls are closed outermost first;
// `ended_ns` marks the function so that recursive calls add to its total time once.
static __noinline int end_open(struct open *open, u32 pid, u64 now, u64 inner_ns)
{
    u64 took_ns = now - open->entered_ns, called_ns = open->called_ns + inner_ns;
    struct tally *tally = tally_of(open->code, pid);
    if (!tally)
        return 0;
    tally->self_ns += took_ns > called_ns ? took_ns - called_ns : 0;
    if (tally->ended_ns != now)
        tally->total_ns += took_ns;
    tally->ended_ns = now;
    return 0;
}

// Closes all open calls of a thread that exits.
static __noinline int end_stack(u64 thread, u64 now)
{
    struct stack *stack = stack_of(thread, false);
    if (!stack)
        return 0;
    u64 depth = stack->depth < MAX_DEPTH ? stack->depth : MAX_DEPTH;
    for (u32 at = 0; at < MAX_DEPTH; at++) {
        if (at >= depth)
            break;
        u64 inner_ns = at + 1 < depth ? now - stack->opens[(at + 1) & (MAX_DEPTH - 1)].entered_ns : 0;
        end_open(&stack->opens[at], thread >> 32, now, inner_ns);
    }
    stack->depth = 0;
    stack->thread = 0;
    return 0;
}
