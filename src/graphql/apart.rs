//! Subscriptions that go on by themselves.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_graphql::Response;
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A stream in a task of its own. Whoever has the answers may leave them there for long: only what is finished waits. A
/// resolver that stood still in the middle would hold what it has, a transaction above all. A panic in there is passed
/// on; dropped, it ends.
pub(super) fn apart(mut answers: BoxStream<'static, Response>) -> BoxStream<'static, Response> {
    let (sender, finished) = mpsc::channel(1);
    let task = tokio::spawn(async move {
        while let Some(answer) = answers.next().await {
            if sender.send(Box::new(answer)).await.is_err() {
                return;
            }
        }
    });
    Apart {
        task: Some(task),
        finished,
    }
    .boxed()
}

struct Apart {
    /// None when it has ended.
    task: Option<JoinHandle<()>>,
    /// Boxed, because a channel keeps room for many of what it carries.
    finished: mpsc::Receiver<Box<Response>>,
}

impl Stream for Apart {
    type Item = Response;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Response>> {
        if let Some(answer) = ready!(self.finished.poll_recv(context)) {
            return Poll::Ready(Some(*answer));
        }
        if let Some(task) = &mut self.task {
            // It has nothing more to say.
            let ended = ready!(Pin::new(task).poll(context));
            self.task = None;
            if let Err(failed) = ended
                && failed.is_panic()
            {
                std::panic::resume_unwind(failed.into_panic());
            }
        }
        Poll::Ready(None)
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn what_nobody_takes_is_finished_and_no_more_is_begun() {
        let (begun, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(()));
        let (count, holds) = (Arc::clone(&begun), Arc::clone(&held));
        let endless = stream::repeat_with(move || {
            let _holds = &holds;
            count.fetch_add(1, Ordering::Relaxed);
            Response::default()
        });
        let mut answers = apart(endless.boxed());
        while begun.load(Ordering::Relaxed) < 2 {
            tokio::task::yield_now().await;
        }
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.load(Ordering::Relaxed), 2, "one waits and one is about to");
        assert!(answers.next().await.is_some());
        drop(answers);
        while Arc::strong_count(&held) > 1 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_end_is_an_end_and_a_panic_is_passed_on_however_late_one_looks() {
        let mut ends = apart(stream::iter([Response::default()]).boxed());
        assert!(ends.next().await.is_some());
        assert!(ends.next().await.is_none() && ends.next().await.is_none());

        let mut panics = apart(stream::once(async { panic!("amid it") }).boxed());
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let panicked = std::panic::AssertUnwindSafe(panics.next()).catch_unwind().await;
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"amid it"));
    }
}
