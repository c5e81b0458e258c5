//! The processes, threads and calls that are open at the end of a file, so that the next file of a
//! rotated trace can begin with them.
//!
//! ```text
//! file 1   E a   E b   R b   E c │ file 2   process, thread, O a, O c │ R c   R a
//!                                           └────── open state ──────┘
//! ```

use std::collections::BTreeMap;

use pyrec_schema::{Batch, CodeId, Event, Marker, TextId};
use rustc_hash::FxHashSet;

/// The open processes, threads and calls after the rows so far.
#[derive(Debug, Default)]
pub(crate) struct OpenState {
    /// The start of each process.
    processes: BTreeMap<i32, Event>,
    /// By pid and tid.
    threads: BTreeMap<(i32, i32), ThreadState>,
    /// The code objects of the rows of this file.
    codes: FxHashSet<CodeId>,
    latest_ns: i64,
}

#[derive(Debug, Default)]
struct ThreadState {
    start: Option<Event>,
    /// The open calls, the outermost first.
    calls: Vec<OpenCall>,
    /// The time of its last row.
    last_ns: i64,
}

#[derive(Clone, Copy, Debug)]
struct OpenCall {
    code: CodeId,
    /// The line that runs.
    line: i32,
}

impl OpenState {
    /// Applies the rows of a batch.
    pub fn update(&mut self, batch: &Batch) {
        let mut last_code = None;
        for event in batch.iter() {
            if event.marker.is_event() || event.marker == Marker::FunctionOpen {
                if last_code != Some(event.code) {
                    self.codes.insert(event.code);
                    last_code = Some(event.code);
                }
                let thread = self.threads.entry((event.pid, event.tid)).or_default();
                thread.last_ns = event.time_ns;
                self.latest_ns = self.latest_ns.max(event.time_ns);
                thread.update(&event);
            } else {
                self.update_processes(event);
            }
        }
    }

    /// Applies a row that the recorder made itself.
    fn update_processes(&mut self, event: Event) {
        let thread = (event.pid, event.tid);
        match event.marker {
            Marker::ProcessStart => {
                // After exec the pid belongs to another program, whose threads are new.
                self.threads.retain(|&(pid, _), _| pid != event.pid);
                self.processes.insert(event.pid, event);
            }
            Marker::ProcessExit => {
                self.threads.retain(|&(pid, _), _| pid != event.pid);
                self.processes.remove(&event.pid);
            }
            Marker::ThreadStart => {
                let state = ThreadState { start: Some(event), calls: Vec::new(), last_ns: event.time_ns };
                self.threads.insert(thread, state);
            }
            Marker::ThreadExit => drop(self.threads.remove(&thread)),
            _ => {}
        }
    }

    /// The time of the latest event.
    pub fn latest_ns(&self) -> i64 {
        self.latest_ns
    }

    /// The code objects of the rows since the last call of this function.
    pub fn take_codes(&mut self) -> FxHashSet<CodeId> {
        std::mem::take(&mut self.codes)
    }

    /// The rows that describe the open state. Each has the time of the last row of its thread.
    pub fn rows(&mut self) -> Batch {
        let mut batch = Batch::default();
        for process in self.processes.values() {
            let main_thread = self.threads.get(&(process.pid, process.tid));
            let time_ns = main_thread.map_or(process.time_ns, |thread| thread.last_ns);
            batch.push(Event { time_ns, ..*process });
        }
        for (&(pid, tid), thread) in &self.threads {
            let time_ns = thread.last_ns;
            thread.start.iter().for_each(|start| batch.push(Event { time_ns, ..*start }));
            for &OpenCall { code, line } in &thread.calls {
                let (marker, value, text) = (Marker::FunctionOpen, None, TextId::NONE);
                self.codes.insert(code);
                batch.push(Event { time_ns, pid, tid, marker, code, line, value, text });
            }
        }
        batch
    }
}

impl ThreadState {
    fn update(&mut self, event: &Event) {
        let Event { code, line, .. } = *event;
        match event.marker {
            Marker::FunctionEntry | Marker::FunctionOpen => self.calls.push(OpenCall { code, line }),
            Marker::FunctionReturn => {
                // Calls above it have no return of their own. A return without a call changes
                // nothing.
                if let Some(at) = self.calls.iter().rposition(|call| call.code == code) {
                    self.calls.truncate(at);
                }
            }
            Marker::Line => {
                if let Some(call) = self.calls.last_mut().filter(|call| call.code == code) {
                    call.line = line;
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(marker: Marker, tid: i32, code: u32, line: i32) -> Event {
        let time_ns = i64::from(line);
        Event { time_ns, pid: 7, tid, marker, code: CodeId(code), line, value: None, text: TextId(code) }
    }

    /// Time, tid, marker, code and line of each row.
    fn rows(state: &mut OpenState) -> Vec<(i64, i32, Marker, u32, i32)> {
        let rows = state.rows();
        rows.iter().map(|row| (row.time_ns, row.tid, row.marker, row.code.0, row.line)).collect()
    }

    #[test]
    fn open_calls_have_the_line_that_runs() {
        use Marker::{FunctionEntry, FunctionReturn, Line, ProcessStart, ThreadExit, ThreadStart};
        let mut state = OpenState::default();
        let first = [
            event(ProcessStart, 7, 0, 0),
            event(ThreadStart, 7, 0, 0),
            event(FunctionEntry, 7, 1, 10),
            event(Line, 7, 1, 12),
            event(FunctionEntry, 7, 2, 20),
            event(FunctionReturn, 7, 2, 21),
            event(FunctionEntry, 7, 3, 30),
            event(ThreadStart, 8, 0, 0),
            event(FunctionEntry, 8, 4, 40),
        ];
        state.update(&first.into_iter().collect());
        let expected = vec![
            (30, 7, ProcessStart, 0, 0),
            (30, 7, ThreadStart, 0, 0),
            (30, 7, Marker::FunctionOpen, 1, 12),
            (30, 7, Marker::FunctionOpen, 3, 30),
            (40, 8, ThreadStart, 0, 0),
            (40, 8, Marker::FunctionOpen, 4, 40),
        ];
        assert_eq!(rows(&mut state), expected);
        // The return of code 1 closes code 3, too.
        let second = [event(FunctionReturn, 7, 1, 30), event(ThreadExit, 8, 0, 0)];
        state.update(&second.into_iter().collect());
        assert_eq!(rows(&mut state), expected[..2]);
        state.update(&[event(Marker::ProcessExit, 7, 0, 0)].into_iter().collect());
        assert_eq!(rows(&mut state), []);
    }
}
