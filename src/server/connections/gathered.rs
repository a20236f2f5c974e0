//! What is ready at about the same time is sent together: a system call a write would otherwise be a third of the server's time under
//! load.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// A stream whose bytes are sent when they are to be flushed, and not before whoever else is ready to do something has done it.
///
/// A connection's task is woken by each answer and would send it at once, though the next call of the same connection waits to be
/// answered by the same thread. It goes to the end of the queue instead, once, and then sends what has come together. Nobody waits longer
/// than for those who are before it in the queue; if there is nobody, it goes on at once.
#[derive(Debug)]
pub(super) struct Gathered<IO> {
    stream: BufWriter<IO>,
    is_put_off: bool,
}

impl<IO: AsyncWrite> Gathered<IO> {
    pub(super) fn new(stream: IO) -> Self {
        Self { stream: BufWriter::new(stream), is_put_off: false }
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gathered<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

/// Not vectored: h2 would send each message of more than 256 bytes for itself.
impl<IO: AsyncWrite + Unpin> AsyncWrite for Gathered<IO> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_put_off && !self.stream.buffer().is_empty() {
            self.is_put_off = true;
            // A task that wakes itself goes to the end of tokio's queue.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        self.is_put_off = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// What was sent, write by write.
    #[derive(Debug, Clone, Default)]
    struct Sent(Arc<Mutex<Vec<String>>>);

    impl AsyncWrite for Sent {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncRead for Sent {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    /// Two tasks write to one stream; each would have sent its own.
    #[tokio::test]
    async fn what_others_have_ready_is_sent_together_with_what_was_there_first() {
        let sent = Sent::default();
        let stream = Arc::new(tokio::sync::Mutex::new(Gathered::new(sent.clone())));
        let (ready, mut first) = tokio::sync::oneshot::channel();
        let of_other = Arc::clone(&stream);
        let flushing = tokio::spawn(async move {
            of_other.lock().await.write_all(b"first, ").await.unwrap();
            ready.send(()).unwrap();
            std::future::poll_fn(|context| {
                let Ok(mut stream) = of_other.try_lock() else { unreachable!("nobody holds it across a wait") };
                Pin::new(&mut *stream).poll_flush(context)
            })
            .await
            .unwrap();
        });
        // On this one thread, the other task has put off its flush when this one goes on.
        (&mut first).await.unwrap();
        stream.lock().await.write_all(b"second").await.unwrap();
        assert!(sent.0.lock().unwrap().is_empty());
        flushing.await.unwrap();
        assert_eq!(*sent.0.lock().unwrap(), ["first, second"]);
    }

    #[tokio::test]
    async fn a_flush_sends_all_and_a_shutdown_too() {
        let sent = Sent::default();
        let mut stream = Gathered::new(sent.clone());
        for place in 0..3 {
            stream.write_all(b"answer").await.unwrap();
            assert_eq!(sent.0.lock().unwrap().len(), place);
            stream.flush().await.unwrap();
            assert_eq!(sent.0.lock().unwrap().len(), place + 1);
        }
        stream.flush().await.unwrap();
        stream.write_all(b"last").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(sent.0.lock().unwrap()[3..], ["last"]);
    }
}
