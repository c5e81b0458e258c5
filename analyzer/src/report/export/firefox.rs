//! Export in Firefox Profiler's processed profile format.
//!
//! The format has samples, not calls. So a sample is written whenever the stack changes, and weighs
//! as many microseconds as the stack stayed the same. The format has columns of all samples, so the
//! whole profile is built in memory.

use std::io::Write;
use std::time::Duration;

use fxprof_processed_profile::{
    CategoryColor, CategoryHandle, CpuDelta, Frame as ProfileFrame, FrameFlags, FrameInfo, ProcessHandle,
    Profile, ReferenceTimestamp, SamplingInterval, StackHandle, ThreadHandle, Timestamp, WeightType,
};
use pyrec_schema::Trace;
use rustc_hash::FxHashMap;

use super::labels::{Labels, command, find_thread, thread_name};
use super::timeline::{self, SpanEvent};
use crate::measure::Trust;
use crate::order::ThreadId;
use crate::report::trust_line;
use crate::tree::Frame;
use crate::{CallTree, Error, Filter, Result};

/// Writes every call of every thread.
pub fn write(trace: &Trace, calls: &CallTree, filter: &Filter, out: &mut impl Write) -> Result<Trust> {
    let trust = Trust::of(calls);
    let mut builder = ProfileBuilder::new(trace, calls, &trust);
    timeline::read(trace, filter, &mut |thread, time_ns, span_event| {
        match span_event {
            SpanEvent::Begin(call) => builder.change(thread, time_ns, Some(call.frame)),
            SpanEvent::End(..) => builder.change(thread, time_ns, None),
            SpanEvent::Instant(_) => {}
        }
        Ok(())
    })?;
    serde_json::to_writer(out, &builder.profile).map_err(|error| Error::Write(error.into()))?;
    Ok(trust)
}

/// Builds the profile from the spans of calls.
struct ProfileBuilder<'a> {
    calls: &'a CallTree,
    labels: Labels<'a>,
    profile: Profile,
    python: CategoryHandle,
    collector: CategoryHandle,
    processes: FxHashMap<i32, ProcessHandle>,
    threads: FxHashMap<ThreadId, Track>,
}

/// The state of a thread.
struct Track {
    handle: ThreadHandle,
    /// The stack of each open call, outermost first.
    stacks: Vec<StackHandle>,
    /// The time of the last change of the stack.
    since_ns: u64,
    /// The weight of the last sample, which is the CPU delta of the next one.
    last_us: u64,
}

impl<'a> ProfileBuilder<'a> {
    fn new(trace: &'a Trace, calls: &'a CallTree, trust: &Trust) -> Self {
        // The format has no value for an unknown start time.
        let start_unix_ns = calls.manifest.clock.unix_ns(calls.counts.first_ns).unwrap_or(0);
        let start_unix_ns = u64::try_from(start_unix_ns).unwrap_or(0);
        let start = ReferenceTimestamp::from_duration_since_unix_epoch(Duration::from_nanos(start_unix_ns));
        // The format has no comments. The profiler shows the product, so the trust line is part of
        // it.
        let product = format!("{} ({})", command(&calls.manifest), trust_line(trust));
        let mut profile = Profile::new(&product, start, SamplingInterval::from_nanos(1_000));
        ProfileBuilder {
            calls,
            labels: Labels::new(trace.names(), trace.manifest()),
            python: profile.add_category("Python", CategoryColor::Yellow),
            collector: profile.add_category("Garbage collection", CategoryColor::Orange),
            profile,
            processes: FxHashMap::default(),
            threads: FxHashMap::default(),
        }
    }

    /// Opens a frame on the stack of a thread, or closes the innermost one if `opened` is `None`.
    fn change(&mut self, thread: ThreadId, time_ns: i64, opened: Option<Frame>) {
        let now_ns = u64::try_from(time_ns.saturating_sub(self.calls.counts.first_ns)).unwrap_or(0);
        if !self.threads.contains_key(&thread) {
            let handle = self.add_thread(thread, now_ns);
            self.threads.insert(thread, Track { handle, stacks: Vec::new(), since_ns: now_ns, last_us: 0 });
        }
        let frame = opened.map(|frame| self.frame(frame));
        let Some(track) = self.threads.get_mut(&thread) else { return };
        track.sample(now_ns, &mut self.profile);
        match frame {
            Some(frame) => {
                let frame = self.profile.intern_frame(track.handle, frame);
                let caller = track.stacks.last().copied();
                track.stacks.push(self.profile.intern_stack(track.handle, caller, frame));
            }
            None => drop(track.stacks.pop()),
        }
        if track.stacks.is_empty() {
            track.end(now_ns, &mut self.profile);
        }
    }

    fn add_thread(&mut self, thread: ThreadId, now_ns: u64) -> ThreadHandle {
        let ThreadId { pid, tid } = thread;
        let name = command(&self.calls.manifest);
        let profile = &mut self.profile;
        let process =
            self.processes.entry(pid).or_insert_with(|| profile.add_process(&name, pid as u32, at(0)));
        let handle = profile.add_thread(*process, tid as u32, at(now_ns), pid == tid);
        if let Some(thread) = find_thread(self.calls, pid, tid) {
            profile.set_thread_name(handle, &thread_name(thread, &self.calls.names));
        }
        profile.set_thread_samples_weight_type(handle, WeightType::Samples);
        handle
    }

    fn frame(&mut self, frame: Frame) -> FrameInfo {
        let (number, _) = self.labels.number(frame);
        let name = self.profile.intern_string(&self.labels.get(number).name);
        let category = if frame == Frame::Gc { self.collector } else { self.python };
        FrameInfo {
            frame: ProfileFrame::Label(name),
            category_pair: category.into(),
            flags: FrameFlags::empty(),
        }
    }
}

impl Track {
    /// Adds a sample for the time since the last change of the stack.
    fn sample(&mut self, now_ns: u64, profile: &mut Profile) {
        let since_ns = std::mem::replace(&mut self.since_ns, now_ns);
        let Some(&stack) = self.stacks.last() else { return };
        // The difference of rounded times, so that rounding errors do not add up.
        let now_us = now_ns / 1_000 - since_ns / 1_000;
        let busy = CpuDelta::from_micros(std::mem::replace(&mut self.last_us, now_us));
        let weight = i32::try_from(now_us).unwrap_or(i32::MAX);
        profile.add_sample(self.handle, at(since_ns), Some(stack), busy, weight);
    }

    /// Adds a sample without a stack, since the profiler would extend the last stack otherwise.
    fn end(&mut self, now_ns: u64, profile: &mut Profile) {
        let busy = CpuDelta::from_micros(std::mem::take(&mut self.last_us));
        profile.add_sample(self.handle, at(now_ns), None, busy, 0);
        profile.set_thread_end_time(self.handle, at(now_ns));
    }
}

fn at(time_ns: u64) -> Timestamp {
    Timestamp::from_nanos_since_reference(time_ns)
}
