//! What is ready at about the same time is sent together: a system call for each answer was more than a quarter of a busy server's time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, BufWriter, ReadBuf};

/// A stream whose bytes are sent when they are to be flushed, and not before whoever else is ready to do something has done it.
///
/// A connection's task is woken by each answer and would send it at once, though the next call of the same connection waits to be
/// answered by the same thread. It goes to the end of the queue instead, once, and then sends what has come together; if nobody is before it in
/// the queue, it goes on at once. h2 flushes after each frame of 1,024 bytes and more: of large answers every second frame is put off,
/// and sent with the one behind it.
#[derive(Debug)]
pub(super) struct Gathered<IO> {
    stream: BufWriter<IO>,
    is_put_off: bool,
}

/// A frame of the size that callers take unless they say more (RFC 9113, section 6.5.2: 16 KiB), and what h2 puts before it.
const BUFFER_BYTES: usize = 20 * 1024;

impl<IO: AsyncWrite> Gathered<IO> {
    pub(super) fn new(stream: IO) -> Self {
        Self { stream: BufWriter::with_capacity(BUFFER_BYTES, stream), is_put_off: false }
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

    /// Two tasks write to one stream, again and again; each would have sent its own. On this one thread tasks run in the order in which they
    /// are woken: the first one puts off its flush, the second one writes, the first one flushes.
    #[tokio::test]
    async fn what_others_have_ready_is_sent_together_with_what_was_there_first() {
        let sent = Sent::default();
        let stream = Arc::new(Mutex::new(Gathered::new(sent.clone())));
        for round in 1..=3 {
            let (of_first, of_second) = (Arc::clone(&stream), Arc::clone(&stream));
            let first = tokio::spawn(async move {
                write(&of_first, b"first, ").await;
                std::future::poll_fn(|context| Pin::new(&mut *of_first.lock().unwrap()).poll_flush(context)).await
            });
            let second = tokio::spawn(async move { write(&of_second, b"second").await });
            first.await.unwrap().unwrap();
            second.await.unwrap();
            assert_eq!(*sent.0.lock().unwrap(), vec!["first, second"; round]);
        }
    }

    async fn write(stream: &Mutex<Gathered<Sent>>, bytes: &[u8]) {
        let written = std::future::poll_fn(|context| Pin::new(&mut *stream.lock().unwrap()).poll_write(context, bytes));
        assert_eq!(written.await.unwrap(), bytes.len());
    }

    /// Through a pipe that takes a few bytes at a time, in pieces smaller and larger than the buffer.
    #[tokio::test]
    async fn whatever_is_written_arrives_however_slowly_it_is_taken() {
        let (mut theirs, ours) = tokio::io::duplex(100);
        let mut stream = Gathered::new(ours);
        let pieces = [1, 50, 1000, 10 * 1024, 3, 50 * 1024, 7];
        let writing = async {
            for (number, n_bytes) in (0u8..).zip(pieces) {
                stream.write_all(&vec![number; n_bytes]).await.unwrap();
                if number % 2 == 0 {
                    stream.flush().await.unwrap();
                }
            }
            stream.shutdown().await.unwrap();
        };
        let mut read = Vec::new();
        let (_, n_read) = tokio::join!(writing, tokio::io::AsyncReadExt::read_to_end(&mut theirs, &mut read));
        assert_eq!(n_read.unwrap(), pieces.iter().sum::<usize>());
        let expected = (0u8..).zip(pieces).flat_map(|(number, n_bytes)| vec![number; n_bytes]);
        assert!(read.into_iter().eq(expected));
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
