//! The writing thread: it encodes and writes batches, or counts their events, while the other
//! thread drains the provider.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use pyrec_schema::{Batch, Manifest};

use crate::{Error, Result};

/// Messages that may wait for the writing thread. When the queue is full, the draining thread
/// waits, then the rings fill, then the program waits. So memory is bounded.
const QUEUE_LENGTH: usize = 4;

/// Changed positions of the provider in its own files, by file name. No position: the file is gone.
pub(crate) type PositionUpdates = Vec<(Arc<str>, Option<u64>)>;

/// The destination of rows: a trace, or counts.
pub(crate) trait EventSink: Send + 'static {
    /// Takes a batch, and the provider's positions at its end. With `commit_now` it commits at
    /// once.
    ///
    /// Returns whether every row up to here is committed: it survives a killed recorder, or the
    /// sink has no further use for it.
    fn write(
        &mut self,
        batch: &Batch,
        positions: PositionUpdates,
        commit_now: bool,
    ) -> Result<bool, pyrec_schema::Error>;

    /// Commits every row up to here, with the current manifest.
    fn checkpoint(&mut self, manifest: Manifest) -> Result<(), pyrec_schema::Error>;

    /// Starts a copy of the trace so far.
    fn snapshot(&mut self) -> Result<(), pyrec_schema::Error>;

    /// Writes the end. Returns the length in bytes.
    fn finish(self, manifest: Manifest) -> Result<u64, pyrec_schema::Error>;

    /// The length so far, in bytes.
    fn bytes(&self) -> u64;

    /// Whether at some time rows could not be committed to the journal.
    fn lacked_journal(&self) -> bool;
}

enum Message {
    Batch { rows: Box<Batch>, positions: PositionUpdates, commit_now: bool },
    Checkpoint(Box<Manifest>),
    Snapshot,
    Finish(Box<Manifest>),
}

/// The draining thread's end of the queue to the writing thread.
pub(crate) struct Pipeline {
    /// None after the last message.
    messages: Option<SyncSender<Message>>,
    /// Batches that the writing thread has emptied, for reuse.
    empty_batches: Receiver<Batch>,
    progress: Arc<Progress>,
    /// None after its result was taken.
    thread: Option<JoinHandle<Result<u64, pyrec_schema::Error>>>,
}

/// State of the sink that the draining thread reads.
#[derive(Debug)]
struct Progress {
    /// Length of the trace, in bytes.
    bytes: AtomicU64,
    /// How many batches, from the first on, are committed.
    committed_batches: AtomicU64,
    lacked_journal: AtomicBool,
}

impl Pipeline {
    /// Starts the writing thread, which owns the sink.
    pub fn start(sink: impl EventSink) -> Result<Pipeline> {
        let (messages, queue) = sync_channel(QUEUE_LENGTH);
        let (recycle, empty_batches) = sync_channel(QUEUE_LENGTH + 1);
        let progress = Arc::new(Progress {
            bytes: AtomicU64::new(sink.bytes()),
            committed_batches: AtomicU64::new(0),
            lacked_journal: AtomicBool::new(sink.lacked_journal()),
        });
        let thread = std::thread::Builder::new()
            .name("pyrec-writer".into())
            .spawn({
                let progress = progress.clone();
                move || run(sink, &queue, &recycle, &progress)
            })
            .map_err(Error::system("start the writing thread"))?;
        Ok(Pipeline { messages: Some(messages), empty_batches, progress, thread: Some(thread) })
    }

    /// An emptied batch for reuse, if there is one.
    pub fn empty_batch(&self) -> Option<Batch> {
        self.empty_batches.try_recv().ok()
    }

    /// Sends a batch, with the provider's positions at its end. Waits while the queue is full.
    ///
    /// # Errors
    ///
    /// As for every message: the error of the sink, if it has failed since.
    pub fn write(&mut self, rows: Batch, positions: PositionUpdates, commit_now: bool) -> Result<()> {
        self.send(Message::Batch { rows: Box::new(rows), positions, commit_now })
    }

    /// How many batches, from the first on, are committed.
    pub fn committed_batches(&self) -> u64 {
        self.progress.committed_batches.load(Ordering::Acquire)
    }

    /// Whether at some time rows could not be committed to the journal.
    pub fn lacked_journal(&self) -> bool {
        self.progress.lacked_journal.load(Ordering::Relaxed)
    }

    /// Requests a checkpoint after the batches sent so far.
    pub fn checkpoint(&mut self, manifest: Manifest) -> Result<()> {
        self.send(Message::Checkpoint(Box::new(manifest)))
    }

    /// Requests a copy of the trace after the batches sent so far.
    pub fn snapshot(&mut self) -> Result<()> {
        self.send(Message::Snapshot)
    }

    /// Length of the trace so far, in bytes.
    pub fn bytes(&self) -> u64 {
        self.progress.bytes.load(Ordering::Relaxed)
    }

    /// Writes the end of the trace. Returns its length in bytes.
    pub fn finish(mut self, manifest: Manifest) -> Result<u64> {
        self.send(Message::Finish(Box::new(manifest)))?;
        self.join()
    }

    fn send(&mut self, message: Message) -> Result<()> {
        if self.messages.as_ref().is_some_and(|messages| messages.send(message).is_ok()) {
            return Ok(());
        }
        // The writing thread closes the queue only after an error, which is its result.
        self.join().and_then(|_| Err(queue_closed()))
    }

    fn join(&mut self) -> Result<u64> {
        self.messages = None;
        let thread = self.thread.take().ok_or_else(queue_closed)?;
        Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?)
    }
}

fn queue_closed() -> Error {
    Error::System { what: "write the trace", source: std::io::ErrorKind::BrokenPipe.into() }
}

fn run(
    mut sink: impl EventSink,
    queue: &Receiver<Message>,
    recycle: &SyncSender<Batch>,
    progress: &Progress,
) -> Result<u64, pyrec_schema::Error> {
    let mut batches = 0;
    for message in queue {
        match message {
            Message::Batch { mut rows, positions, commit_now } => {
                let is_committed = sink.write(&rows, positions, commit_now)?;
                batches += 1;
                if is_committed {
                    progress.committed_batches.store(batches, Ordering::Release);
                }
                rows.clear();
                // If the channel is full, the batch is dropped.
                let _ = recycle.try_send(*rows);
            }
            Message::Checkpoint(manifest) => {
                sink.checkpoint(*manifest)?;
                progress.committed_batches.store(batches, Ordering::Release);
            }
            Message::Snapshot => sink.snapshot()?,
            Message::Finish(manifest) => return sink.finish(*manifest),
        }
        progress.bytes.store(sink.bytes(), Ordering::Relaxed);
        progress.lacked_journal.fetch_or(sink.lacked_journal(), Ordering::Relaxed);
    }
    // The pipeline was dropped without `finish`: the trace remains as of the last checkpoint.
    Ok(sink.bytes())
}
