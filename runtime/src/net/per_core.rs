//! A server with a run on each core.
#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream as Signal;
use std::panic::{Location, resume_unwind};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::builder::SocketOptions;
use super::listener::TcpListener;
use super::listeners::open_tcp_listeners;
use super::unix::UnixStream;
use crate::kernel::builder::run;
use crate::kernel::group::{ErrorGroup, TaskError};
use crate::sync::race;

/// A server that uses all cores: runs `main` in a trio run of its own on each of so many threads, with its own listeners
/// at the same addresses, over which the system spreads the connections (`SO_REUSEPORT`).
///
/// `port` and `host` are those of [`open_tcp_listeners`](crate::open_tcp_listeners()). `main` gets listeners of its run, and
/// usually hands them to [`serve_listeners`](crate::serve_listeners); what else the core needs, it keeps beside them. Nothing is
/// shared but what `main` borrows, which has to be [`Sync`]. To be called outside of a run; [`run`](ServePerCore::run)
/// starts it.
///
/// Ctrl-C kills the process, unless `main` has a [`SignalReceiver`](crate::SignalReceiver). Trio has no such function, since Python uses one core anyway.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU32, Ordering};
/// use trio::net::{TcpListener, TcpStream};
/// let served = AtomicU32::new(0);
/// let main = async |listeners: Vec<TcpListener>| -> trio::Result {
///     let address = listeners[0].local_addr()?;
///     let greet = async |mut stream: TcpStream| -> std::io::Result<()> {
///         served.fetch_add(1, Ordering::Relaxed);
///         stream.send_all(b"hi").await
///     };
///     trio::try_nursery! { |n|
///         n.start_daemon(trio::serve_listeners(greet, listeners));
///         // A client, for once; whichever core ends first ends the server.
///         let mut client = TcpStream::connect(address).await?;
///         client.receive_some(&mut [0; 8]).await?;
///     }?;
///     Ok(())
/// };
/// trio::serve_per_core(main, 0, Some("127.0.0.1")).cores(2).run().unwrap();
/// assert!(served.into_inner() >= 1);
/// ```
#[track_caller]
pub fn serve_per_core<M>(main: M, port: u16, host: Option<&str>) -> ServePerCore<M> {
    ServePerCore {
        main,
        port,
        host: host.map(str::to_owned),
        cores: None,
        options: SocketOptions::new(),
        caller: Location::caller(),
    }
}

/// What [`serve_per_core`] gives, and what can be said about it before it [runs](Self::run).
#[must_use = "nothing is served unless it is run"]
pub struct ServePerCore<M> {
    main: M,
    port: u16,
    host: Option<String>,
    cores: Option<NonZeroUsize>,
    options: SocketOptions,
    caller: &'static Location<'static>,
}

impl<M> ServePerCore<M> {
    /// How many runs there are to be: as many as this process may use cores, unless said.
    ///
    /// # Panics
    ///
    /// If there are to be none.
    #[track_caller]
    pub fn cores(mut self, cores: usize) -> Self {
        self.cores = Some(NonZeroUsize::new(cores).expect("a server needs a core"));
        self
    }

    /// What else is to be said of the listeners. `SO_REUSEPORT` is always on.
    pub fn options(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    /// Serves, and blocks this thread until it is over: when `main` has ended on one core, with or without an error, it is
    /// cancelled on the others.
    ///
    /// # Errors
    ///
    /// What `main` has failed with, on all cores, and the error if the listeners can't be opened or a thread not be started.
    ///
    /// # Panics
    ///
    /// With `main`'s panic, when all cores have ended; and if called inside a run.
    pub fn run<E>(self) -> Result<(), ErrorGroup<E>>
    where
        M: AsyncFn(Vec<TcpListener>) -> Result<(), E> + Sync,
        E: From<io::Error> + Send,
    {
        let Self { main, port, host, cores, options, caller } = self;
        let cores = cores.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let begun = open(port, host.as_deref(), options.reuse_port(true), cores).and_then(|sets| {
            let signals = sets.iter().map(|_| Signal::pair()).collect::<io::Result<Vec<_>>>()?;
            let (readers, writers): (Vec<_>, Vec<_>) = signals.into_iter().unzip();
            Ok((sets.into_iter().zip(readers), Stop(Mutex::new(writers))))
        });
        let mut errors = Vec::new();
        let mut failed = |core: Option<usize>, error: E| {
            let name = core.map(|core| format!("core {core}").into());
            errors.push(TaskError::new(error, name, caller));
        };
        let (cores, stop) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                failed(None, error.into());
                return ErrorGroup::new(errors).map_or(Ok(()), Err);
            }
        };
        let mut panic = None;
        thread::scope(|scope| {
            let (main, stop) = (&main, &stop);
            let mut threads = Vec::new();
            for (core, (listeners, stopped)) in cores.enumerate() {
                let thread = thread::Builder::new().name(format!("core {core}"));
                match thread.spawn_scoped(scope, move || serve(main, listeners, stopped, stop)) {
                    Ok(thread) => threads.push(thread),
                    Err(error) => {
                        stop.now();
                        failed(Some(core), error.into());
                        break;
                    }
                }
            }
            for (core, thread) in threads.into_iter().enumerate() {
                match thread.join() {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => failed(Some(core), error),
                    Err(payload) => drop(panic.get_or_insert(payload)),
                }
            }
        });
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
        ErrorGroup::new(errors).map_or(Ok(()), Err)
    }
}

impl<M> fmt::Debug for ServePerCore<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServePerCore")
            .field("port", &self.port)
            .field("host", &self.host)
            .field("cores", &self.cores)
            .finish_non_exhaustive()
    }
}

/// Each core waits for the end of a stream, whose other ends are here.
struct Stop(Mutex<Vec<Signal>>);

impl Stop {
    fn now(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Stops all cores when one has ended, by a panic too.
struct StopAtEnd<'a>(&'a Stop);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.now();
    }
}

/// Listeners for all cores: the first one's find the addresses out.
fn open(
    port: u16,
    host: Option<&str>,
    options: SocketOptions,
    cores: usize,
) -> io::Result<Vec<Vec<std::net::TcpListener>>> {
    run(async {
        let first = open_tcp_listeners(port, host).options(options.clone()).await?;
        let addresses = first.iter().map(TcpListener::local_addr).collect::<io::Result<Vec<_>>>()?;
        let options = if options.has_only_v6() { options } else { options.only_v6(true) };
        let mut sets = vec![first];
        for _ in 1..cores {
            sets.push(addresses.iter().map(|address| options.listen_at(*address)).collect::<io::Result<_>>()?);
        }
        sets.into_iter().map(|set| set.into_iter().map(TcpListener::into_std).collect()).collect()
    })
}

/// One core.
fn serve<M, E>(main: &M, listeners: Vec<std::net::TcpListener>, stopped: Signal, stop: &Stop) -> Result<(), E>
where
    M: AsyncFn(Vec<TcpListener>) -> Result<(), E>,
    E: From<io::Error>,
{
    let _others = StopAtEnd(stop);
    run(async move {
        let listeners = listeners.into_iter().map(TcpListener::from_std).collect::<io::Result<_>>()?;
        let mut stopped = UnixStream::from_std(stopped)?;
        let stopped = async {
            stopped.receive_some(&mut [0]).await?;
            Ok(())
        };
        race(main(listeners), stopped).await
    })
}
