//! The admin listener: one connection after the other is served by the first worker, apart from
//! the application's own listeners and their placement.

use crate::{Error, ListenError, reception::Door};
use arc_swap::ArcSwap;
use ripstop_admin::{Admin, Health};
use ripstop_balance::Placement;
use ripstop_net::{
    Address, ConnectionLimits, Connections, Gate, Inherited, Listener, ListenerOptions, Lots,
};
use ripstop_work::Workers;
use std::{sync::Arc, time::Duration};

const UNLIMITED: ConnectionLimits = ConnectionLimits { total: usize::MAX, per_client: None };

/// The admin listener's gate.
pub(crate) type AdminGate = Arc<Gate<Door<Admin>>>;

/// What the admin listener is bound with.
pub(crate) fn listener(address: &Address) -> ListenerOptions {
    ListenerOptions { name: "admin".into(), address: address.clone(), ..ListenerOptions::default() }
}

/// Opens the admin listener.
pub(crate) fn open(
    address: &Address,
    health: Health,
    workers: &Arc<Workers>,
    lots: &Arc<Lots>,
    inherited: &Inherited,
) -> Result<AdminGate, Error> {
    let fail = |fault| Error::Listen(vec![fault]);
    let options = listener(address);
    let listener =
        Listener::bind(&options, inherited).map_err(|err| fail(ListenError::Bind(err)))?;
    let door = Door {
        service: Admin::new(health),
        shared: Arc::new(ArcSwap::default()),
        listener: options.name.clone(),
        proxy_protocol: false,
        tls: None,
        networks: Default::default(),
        // Of its own and without a limit: health is told when the server is full, too.
        connections: Connections::new(UNLIMITED).listener(options.name, None),
        handshake_timeout: Duration::from_secs(10),
        workers: workers.clone(),
        lots: lots.clone(),
        number: None,
    };
    Gate::open(listener, door, workers.clone(), Placement::default(), true)
        .map_err(|err| fail(ListenError::Reserve(err)))
}
