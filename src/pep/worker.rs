//! One worker: a thread with a runtime, listeners, connections and upstream pool of its own. Nothing of
//! a request crosses to another thread.

use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::admission::{Admission, Admitted};
use super::connection;
use super::gate::Gate;
use super::nearby::Nearby;
use super::request_id::{RequestId, RequestIds};
use super::running::Exchanges;
use super::session::Session;
use super::spread::{Accepted, Counted, Spread};
use crate::base::{ErrorChain, Trickle};
use crate::config::Protocols;
use crate::telemetry::Counter;
use crate::tls::Acceptor;
use crate::upstream::{Common, Pool, PoolLimits};

/// How often long exchanges get their `open` record and idle upstream connections are closed.
const SWEEP: Duration = Duration::from_millis(500);

/// After a failed accept (no file descriptors, say) the next try waits.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often failed accepts are told of.
const ACCEPT_TOLD: Duration = Duration::from_secs(10);

/// How many refusals that somebody should look into are told of in each second: clients decide how many there
/// are. Each is on record.
const REFUSALS_TOLD: u32 = 10;

/// How long goodbyes may take after the drain time.
const GOODBYE: Duration = Duration::from_secs(1);

/// What all workers share and what each is made of.
#[derive(Clone, Debug)]
pub struct Workers {
    gate: Arc<Gate>,
    admission: Arc<Admission>,
    spread: Arc<Spread>,
    pool: PoolLimits,
    upstreams: Arc<Common>,
}

/// One listening socket of a worker.
#[derive(Debug)]
pub struct Listener {
    /// The socket, not blocking.
    pub socket: std::net::TcpListener,
    /// TLS; plain HTTP where absent.
    pub tls: Option<Acceptor>,
    /// What is spoken without TLS, which agrees on it.
    pub protocols: Protocols,
}

/// What a listener speaks: TLS where there is an acceptor, and what is spoken without it.
pub(super) type Ways = (Option<Acceptor>, Protocols);

/// One worker's state. It never leaves its thread.
pub(super) struct Worker {
    pub(super) gate: Arc<Gate>,
    pub(super) pool: Pool,
    pub(super) exchanges: Rc<Exchanges>,
    /// The tokens that it has seen lately.
    pub(super) near: Nearby<Session>,
    /// Turns true when what still runs is about to be dropped: who can say goodbye does.
    leaving: watch::Sender<bool>,
    number: usize,
    admission: Arc<Admission>,
    spread: Arc<Spread>,
    ids: RequestIds,
    /// Counts its requests.
    requests: Counter,
    /// Keeps refusals from flooding the log.
    pub(super) refusals_told: Trickle,
}

impl Workers {
    /// So many workers for `gate`.
    #[must_use]
    pub fn new(gate: Arc<Gate>, count: usize, pool: PoolLimits) -> Self {
        let limits = gate.facts.limits;
        let admission = Admission::new(limits.connections, limits.connections_per_source);
        Self {
            upstreams: Arc::new(Common::new(Arc::clone(&gate.metrics))),
            gate,
            admission: Arc::new(admission),
            spread: Arc::new(Spread::new(count)),
            pool,
        }
    }

    /// Serves `listeners` as worker `number` until `stop` turns true, then lets running exchanges end for
    /// as long as `drain`. It has to run inside a `LocalSet`. Calls `up` once connections are taken.
    ///
    /// # Errors
    ///
    /// When a socket can't be given to this thread's runtime.
    pub async fn run(
        self,
        number: usize,
        listeners: Vec<Listener>,
        stop: watch::Receiver<bool>,
        drain: Duration,
        up: impl FnOnce(),
    ) -> io::Result<()> {
        let worker = Rc::new(Worker {
            number,
            pool: Pool::new(self.gate.clock.clone(), self.pool, self.upstreams),
            exchanges: Rc::default(),
            near: Nearby::new(),
            leaving: watch::Sender::new(false),
            admission: self.admission,
            spread: self.spread,
            ids: RequestIds::new(),
            requests: self.gate.metrics.worker(number),
            refusals_told: Trickle::new(REFUSALS_TOLD, Duration::from_secs(1)),
            gate: self.gate,
        });
        // Every connection holds a sender: when the last is gone, so are they.
        let (connected, mut all_gone) = mpsc::channel::<()>(1);
        for listener in listeners {
            let socket = TcpListener::from_std(listener.socket)?;
            let ways = (listener.tls, listener.protocols);
            let accept = Rc::clone(&worker).accept(socket, ways, stop.clone(), connected.clone());
            spawn_local(accept);
        }
        spawn_local(Rc::clone(&worker).take_over(stop.clone(), connected));
        up();
        worker.attend_targets(&worker.gate.snapshot.current());
        let published = worker.gate.published();
        let probes = worker.gate.probes();
        let rechecker = spawn_local(Rc::clone(&worker).recheck(published, probes));
        let sweeper = spawn_local(Rc::clone(&worker).sweep());
        let drained = async {
            stopped(stop).await;
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            _ = all_gone.recv() => {}
            () = drained => {
                worker.say_goodbye().await;
                debug!("exchanges still run after the drain time; they are dropped");
            }
        }
        sweeper.abort();
        rechecker.abort();
        Ok(())
    }
}

impl Worker {
    async fn accept(
        self: Rc<Self>,
        socket: TcpListener,
        ways: Ways,
        stop: watch::Receiver<bool>,
        connected: mpsc::Sender<()>,
    ) {
        let told = Trickle::new(1, ACCEPT_TOLD);
        loop {
            let accepted = tokio::select! {
                accepted = socket.accept() => accepted,
                () = stopped(stop.clone()) => return,
            };
            match accepted {
                Ok((stream, peer)) => match self.admission.admit(peer.ip().to_canonical()) {
                    Ok(admitted) => {
                        let from = (peer, ways.clone(), admitted);
                        self.place(stream, from, &stop, &connected);
                    }
                    Err(full) => {
                        // Closed at once: an answer would cost what the limit is there to save.
                        self.gate.metrics.refuse_connection(full.as_str());
                        debug!(%peer, limit = full.as_str(), "a connection is refused");
                    }
                },
                Err(error) => {
                    if let Some(left_out) = told.next(self.gate.clock.now()) {
                        warn!(%error, left_out, "can't accept connections; they wait");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Serves a connection that this worker has accepted, or hands it to a worker that has fewer.
    fn place(
        self: &Rc<Self>,
        stream: TcpStream,
        (peer, ways, admitted): (SocketAddr, Ways, Admitted),
        stop: &watch::Receiver<bool>,
        connected: &mpsc::Sender<()>,
    ) {
        let counted = self.spread.assign(self.number);
        if counted.worker() == self.number {
            let held = (admitted, counted, connected.clone());
            self.open(stream, (peer, ways), stop.clone(), held);
            return;
        }
        let stream = match stream.into_std() {
            Ok(stream) => stream,
            Err(error) => return debug!(%peer, %error, "a connection can't be handed over"),
        };
        let accepted = Accepted {
            stream,
            peer,
            ways,
            admitted,
            counted,
        };
        if let Err(mut refused) = self.spread.hand_over(accepted) {
            refused.counted = self.spread.count(self.number);
            self.adopt(refused, stop, connected);
        }
    }

    /// Serves what other workers accept for this one.
    async fn take_over(self: Rc<Self>, stop: watch::Receiver<bool>, connected: mpsc::Sender<()>) {
        let Some(mut desk) = self.spread.desk(self.number) else {
            return;
        };
        loop {
            tokio::select! {
                biased;
                accepted = desk.recv() => match accepted {
                    Some(accepted) => self.adopt(accepted, &stop, &connected),
                    None => return,
                },
                // Others keep what they accept from now on; what is on its way is still served.
                () = stopped(stop.clone()), if !desk.is_closed() => desk.close(),
            }
        }
    }

    fn adopt(
        self: &Rc<Self>,
        accepted: Accepted,
        stop: &watch::Receiver<bool>,
        connected: &mpsc::Sender<()>,
    ) {
        let Accepted {
            stream,
            peer,
            ways,
            admitted,
            counted,
        } = accepted;
        match TcpStream::from_std(stream) {
            Ok(stream) => {
                let held = (admitted, counted, connected.clone());
                self.open(stream, (peer, ways), stop.clone(), held);
            }
            Err(error) => debug!(%peer, %error, "a connection can't be taken over"),
        }
    }

    /// Serves a connection on this worker.
    fn open(
        self: &Rc<Self>,
        stream: TcpStream,
        (peer, ways): (SocketAddr, Ways),
        stop: watch::Receiver<bool>,
        (admitted, counted, connected): (Admitted, Counted, mpsc::Sender<()>),
    ) {
        let alive = Alive {
            _admitted: admitted,
            _counted: counted,
            _connected: connected,
            gate: Arc::clone(&self.gate),
        };
        alive.gate.metrics.connections.inc();
        let worker = Rc::clone(self);
        spawn_local(async move {
            worker.serve(stream, peer, ways, stop).await;
            drop(alive);
        });
    }

    async fn serve(
        self: Rc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        ways: Ways,
        stop: watch::Receiver<bool>,
    ) {
        let ip: IpAddr = peer.ip().to_canonical();
        let peer = SocketAddr::new(ip, peer.port());
        if let Err(error) = connection::serve(self, stream, peer, ways, stop).await {
            debug!(%peer, error = %ErrorChain(&error), "a connection ended early");
        }
    }

    async fn sweep(self: Rc<Self>) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.exchanges.sweep(self.gate.clock.now());
            self.pool.sweep();
        }
    }

    /// Says when who can say goodbye has to.
    pub(super) fn leaving(&self) -> watch::Receiver<bool> {
        self.leaving.subscribe()
    }

    /// Lets WebSockets tell their clients that the gateway goes, if there are any.
    async fn say_goodbye(&self) {
        self.leaving.send_replace(true);
        // Those that have not said it by then don't read.
        let _ = timeout(GOODBYE, self.leaving.closed()).await;
    }

    /// An id for one more request.
    pub(super) fn next_request_id(&self) -> RequestId {
        self.requests.inc();
        self.ids.next()
    }
}

/// Resolves when `stop` turns true, or when nobody can turn it any more.
pub(super) async fn stopped(mut stop: watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}

/// Resolves so long after that.
pub(super) async fn stopped_for(stop: watch::Receiver<bool>, time: Duration) {
    stopped(stop).await;
    tokio::time::sleep(time).await;
}

/// What an open connection holds.
struct Alive {
    _admitted: Admitted,
    _counted: Counted,
    _connected: mpsc::Sender<()>,
    gate: Arc<Gate>,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.gate.metrics.connections.dec();
    }
}
