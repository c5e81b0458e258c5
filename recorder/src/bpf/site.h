// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// A marker site: the argument locations, and the memory layout of its interpreter.

#pragma once

#include "kernel.h"
#include <bpf/bpf_helpers.h>

#define MAX_SITES 512

// The kinds of argument locations.
enum operand { NOWHERE, CONSTANT, REGISTER, MEMORY };

// An argument: `constant`, a register, or what lies at `constant + base + (index << scale)`.
struct argument {
    s64 constant;
    u8 operand;
    u8 base;
    u8 index;
    u8 scale;
    u8 bytes;
    u8 is_signed;
    u8 has_index;
    u8 unused;
};

// The description of a marker site. Addresses are relative to the probed instruction, which makes them independent of
// the load address.
struct site {
    struct argument arguments[3];
    s64 way_distance;       // to the first pointer on the way to the code that runs
    s64 code_type_distance; // to PyCode_Type
    u16 way[4];             // where the next pointer is, in each structure on the way
    u16 steps;              // how many pointers there are, with the first one
    u16 frame_code;
    u16 frame_owner;
    u16 code_flags;
    u16 code_first_line;
    u16 code_file;
    u16 code_name;
    u16 code_qualname; // 0 where there is none
    u16 string_ascii;
    u16 string_data;
    u16 entry_at_creation; // 1: the marker is an entry, and fires when a generator is made, too
    u16 learned;           // what `frame.h` has found out: which register leads to the code
    u16 refuted;           // the registers that did not always, a bit for each
    u16 unused[3];
};

// Written before the probes are attached. The cookie of a probe is the index of its site.
struct site sites[MAX_SITES];

// Whether the programs are sleepable, which Linux 5.15 does not support for uprobes.
const volatile bool may_sleep = false;

// Reads user memory. The sleepable copy is cheaper than the one with page faults disabled.
static __always_inline long read_user(void *to, u32 bytes, u64 from)
{
    if (may_sleep)
        return bpf_copy_from_user(to, bytes, (void *)from);
    return bpf_probe_read_user(to, bytes, (void *)from);
}

// Not inlined, to keep the stack frame small: since Linux 6.12 a frame of 64 bytes or more is a private stack, and the
// hardened usercopy check finds it by a tree lookup under a lock, which costs as much as the copy.
static __noinline u64 read_pointer(u64 address)
{
    u64 value = 0;
    read_user(&value, sizeof value, address);
    return value;
}

// The verifier requires constant offsets into the context, so each register is a case in assembler: the compiler would
// merge cases in C into one load with a computed offset.
#define REGISTER_CASE(number, name)                                                          \
    case number:                                                                             \
        asm volatile("%0 = *(u64 *)(%1 + %2)"                                                \
                     : "=r"(value)                                                           \
                     : "r"(registers), "i"(__builtin_offsetof(struct pt_regs, name)));       \
        return value

static __always_inline u64 read_register(struct pt_regs *registers, u8 number)
{
    u64 value;
    switch (number) {
    REGISTER_CASE(0, rax);
    REGISTER_CASE(1, rbx);
    REGISTER_CASE(2, rcx);
    REGISTER_CASE(3, rdx);
    REGISTER_CASE(4, rsi);
    REGISTER_CASE(5, rdi);
    REGISTER_CASE(6, rbp);
    REGISTER_CASE(7, rsp);
    REGISTER_CASE(8, r8);
    REGISTER_CASE(9, r9);
    REGISTER_CASE(10, r10);
    REGISTER_CASE(11, r11);
    REGISTER_CASE(12, r12);
    REGISTER_CASE(13, r13);
    REGISTER_CASE(14, r14);
    REGISTER_CASE(15, r15);
    REGISTER_CASE(16, rip);
    default: return 0;
    }
}

static __noinline s64 find_argument(struct pt_regs *registers, const struct argument *argument)
{
    u64 value = argument->constant;
    if (argument->operand != CONSTANT)
        value += read_register(registers, argument->base);
    if (argument->operand == MEMORY) {
        if (argument->has_index)
            value += read_register(registers, argument->index) << (argument->scale & 3);
        value = read_pointer(value);
    }
    u8 spare = (64 - 8 * argument->bytes) & 63;
    value <<= spare;
    return argument->is_signed ? (s64)value >> spare : (s64)(value >> spare);
}

static __always_inline s64 read_argument(struct pt_regs *registers, const struct argument *argument)
{
    if (argument->operand != REGISTER)
        return find_argument(registers, argument);
    u64 value = read_register(registers, argument->base);
    u8 spare = (64 - 8 * argument->bytes) & 63;
    value <<= spare;
    return argument->is_signed ? (s64)value >> spare : (s64)(value >> spare);
}

static __always_inline struct site *find_site(struct pt_regs *registers)
{
    u64 number = bpf_get_attach_cookie(registers);
    return &sites[number & (MAX_SITES - 1)];
}
