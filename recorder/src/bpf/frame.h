// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Finds the code object of a marker hit.
//
// The interpreter's pointers lead to it, but each is a read of user memory, the most expensive operation here. The
// function with the marker site holds the frame or the code object in a register that the compiler chose, the same one
// at every hit. The pointer chain is followed once to learn that register. Its value is accepted as a code object only
// if the code object is defined already and has the names in the marker's arguments.
//
// The code object of a return is cached by its frame and needs no read: see `entered.h`.

#pragma once

#include "codes.h"
#include "site.h"

// Tag bits of CPython 3.15's stack references.
#define TAG 7ULL

// `learned` of a site: 0, or a register's number and whether it holds the frame or the code itself.
#define LEARNED 0x100
#define HOLDS_CODE 0x200

// The frame that the GIL holder executes. A null pointer in the chain gives null: low addresses are never mapped, and
// a failed read gives zero.
static __always_inline u64 current_frame(struct pt_regs *registers, const struct site *site)
{
    u64 pointer = read_pointer(registers->rip + site->way_distance);
    for (int step = 0; step < 3; step++)
        if (step + 2 < site->steps)
            pointer = read_pointer(pointer + site->way[step]);
    return pointer;
}

static __always_inline u64 code_of(u64 frame, const struct site *site)
{
    return read_pointer(frame + site->frame_code) & ~TAG;
}

// The frame in the learned register, 0 if none was learned or it holds the code object.
static __always_inline u64 frame_at_hand(struct pt_regs *registers, const struct site *site)
{
    u16 learned = site->learned;
    bool holds_frame = learned && !(learned & HOLDS_CODE);
    return holds_frame ? read_register(registers, learned & 0xff) : 0;
}

// The code object by the learned register, 0 if none was learned.
static __always_inline u64 code_at_hand(struct pt_regs *registers, const struct site *site, u64 frame)
{
    u16 learned = site->learned;
    if (frame)
        return code_of(frame, site);
    return learned ? read_register(registers, learned & 0xff) : 0;
}

// The callee-saved registers, which hold values across calls.
static const u8 KEPT_ACROSS_CALLS[] = { 1, 6, 12, 13, 14, 15 }; // rbx, rbp, r12 to r15

// Learns a register that holds the frame, or else the code object. A learned register that no longer holds it is
// excluded: it held the value by chance, as a leftover of the caller.
static __always_inline void learn(struct pt_regs *registers, struct site *site, u64 frame, u64 code)
{
    u16 learned = 0;
    if (site->learned)
        site->refuted |= 1 << (site->learned & 15);
    for (u32 i = 0; i < sizeof KEPT_ACROSS_CALLS; i++) {
        u8 number = KEPT_ACROSS_CALLS[i];
        u64 held = read_register(registers, number);
        bool may_be = !(site->refuted >> number & 1);
        if (held == frame && may_be && (!learned || learned & HOLDS_CODE))
            learned = LEARNED | number;
        // Sites with entries at creation need the frame, not only the code object.
        else if (held == code && may_be && !learned && !site->entry_at_creation)
            learned = LEARNED | HOLDS_CODE | number;
    }
    site->learned = learned;
}

// The start of every str object (Include/cpython/unicodeobject.h).
struct string {
    u64 references;
    u64 type;
    s64 length;
    s64 hash;
    u32 state; // from bit 0: interned 2, kind 3, compact 1, ascii 1
    u32 unused;
};

static __always_inline u32 width_of(const struct string *string)
{
    return string->state >> 2 & 7;
}

static __always_inline bool is_compact(const struct string *string)
{
    return string->state >> 5 & 1;
}

static __always_inline bool is_compact_ascii(const struct string *string)
{
    return (string->state >> 5 & 3) == 3;
}

// Whether a marker's argument is this string: it points to the string's own UTF-8 buffer. A string without one cannot
// be encoded, and the argument is null, or a question mark in 3.15.
static __noinline bool is_said(u64 object, u64 argument, const struct site *site)
{
    struct string string;
    if (read_user(&string, sizeof string, object))
        return false;
    if (is_compact_ascii(&string))
        return argument == object + site->string_ascii;
    // PyCompactUnicodeObject.utf8 stands after its length.
    u64 utf8 = read_pointer(object + site->string_ascii + 8);
    return utf8 == argument || !utf8;
}

// Whether `code` is a code object with the names in the marker's arguments.
static __noinline bool is_named(struct pt_regs *registers, u64 code, const struct site *site)
{
    u64 code_type = registers->rip + site->code_type_distance;
    return code && read_pointer(code + 8) == code_type
        && is_said(read_pointer(code + site->code_file), read_argument(registers, &site->arguments[0]), site)
        && is_said(read_pointer(code + site->code_name), read_argument(registers, &site->arguments[1]), site);
}

// A hash of the addresses of the marker's two names.
static __always_inline u64 said_names(struct pt_regs *registers, const struct site *site)
{
    u64 file = read_argument(registers, &site->arguments[0]);
    u64 name = read_argument(registers, &site->arguments[1]);
    return (name << 16 ^ file << 1) & ~SUSPENDS_BIT;
}

// CO_GENERATOR, CO_COROUTINE and CO_ASYNC_GENERATOR.
#define CODE_SUSPENDS (0x20 | 0x80 | 0x200)

static __always_inline bool can_suspend(u64 code, const struct site *site)
{
    u32 flags = 0;
    read_user(&flags, sizeof flags, code + site->code_flags);
    return flags & CODE_SUSPENDS;
}

// Whether an entry of a generator-like code object is its creation, which has no return: the frame is still owned by
// the thread. A resumed generator owns its frame.
static __always_inline bool is_being_made(u64 frame, const struct site *site)
{
    u8 owner = 1;
    read_user(&owner, sizeof owner, frame + site->frame_owner);
    return owner == 0;
}
