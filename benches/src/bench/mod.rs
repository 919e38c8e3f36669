//! The benchmarks, one file each. In a file, the body of every runtime has the same shape, so that they can be
//! compared by eye before they are compared by the clock.

use crate::harness::Benchmark;
use crate::options::Scale;

mod cancel;
mod channels;
mod files;
mod hyper;
mod locks;
mod parked;
mod round_trip;
mod scopes;
mod sockets;
mod spawn_join;
mod tcp_echo;
mod threads;
mod timeout;
mod tls;
mod yields;

/// Every benchmark, in the order of the README's tables.
pub(crate) fn all(scale: Scale) -> Vec<Benchmark> {
    let mut benchmarks = vec![spawn_join::benchmark(scale)];
    benchmarks.extend(scopes::benchmarks(scale));
    benchmarks.extend(yields::benchmarks(scale));
    benchmarks.extend(round_trip::benchmarks(scale));
    benchmarks.extend(channels::benchmarks(scale));
    benchmarks.extend(locks::benchmarks(scale));
    benchmarks.extend(timeout::benchmarks(scale));
    benchmarks.extend(cancel::benchmarks(scale));
    benchmarks.push(parked::benchmark(scale));
    benchmarks.extend(tcp_echo::benchmarks(scale));
    benchmarks.extend(sockets::benchmarks(scale));
    benchmarks.extend(tls::benchmarks(scale));
    benchmarks.extend(hyper::benchmarks(scale));
    benchmarks.extend(threads::benchmarks(scale));
    benchmarks.extend(files::benchmarks(scale));
    benchmarks
}
