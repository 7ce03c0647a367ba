//! Outbound HTTP: what a guest may reach, and how. All interfaces send through [`Sender`].
//!
//! Three kinds of destination, told apart by host name: the app itself (`self.alt`, or no host at all), another function
//! of the app (`<function>.spin.internal`, `<function>.gust.internal`; both in [`peers`]), and the network. For the
//! network the allow-list is asked by name before anything else happens, and again by address when a connection is
//! made ([`connect`]), so that a name which points into a private network does not get there. Redirects are the
//! guest's own business.

use std::sync::{Arc, LazyLock};

use gust_runtime::Bindings;
use gust_types::{Revision, outbound::Verdict};
use http::Method;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

use self::{
    exchange::Exchange,
    headers::Prepared,
    pool::{Pool, Route},
    target::Target,
    time::Budget,
};
use crate::guest::{CallContext, LastWords, Scope};

mod body;
mod connect;
mod exchange;
mod fault;
mod headers;
mod peers;
mod pool;
mod target;
mod time;
pub(crate) mod wasi;

/// One filter for all guests: the default makes a new one for each call.
static FORBIDDEN: LazyLock<ForbiddenHeaderFilter> =
    LazyLock::new(|| Arc::new(|name| DEFAULT_FORBIDDEN_HEADERS.contains(name)));

/// One pool for the process, so that its sockets are bounded.
static POOL: LazyLock<Arc<Pool>> = LazyLock::new(Pool::for_internet);

/// Everything that sending takes, so that a store is not borrowed while a request is under way.
#[derive(Clone)]
pub(crate) struct Sender {
    revision: Arc<Revision>,
    bindings: Arc<Bindings>,
    call: CallContext,
    copy: Arc<LastWords>,
    pool: Arc<Pool>,
}

// === impl Sender ===

impl Sender {
    /// A sender for the call at hand. Counts one request.
    pub(crate) fn of(scope: &mut Scope) -> Self {
        scope.meter.host.http_out += 1;
        Self {
            revision: scope.revision.clone(),
            bindings: scope.bindings.clone(),
            call: scope.call.clone(),
            copy: scope.last_words.clone(),
            pool: POOL.clone(),
        }
    }

    /// Sends a request and answers with the head of the response; the body streams on.
    pub(crate) async fn send(
        self,
        request: http::Request<WasiBody>,
        options: RequestOptions,
    ) -> Result<http::Response<WasiBody>, Error> {
        let target = Target::of(request.uri())?;
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let budget = Budget::new(&options, self.call.deadline);
        let limit = self.revision.spec.limits.response_body.0;
        let request = request.map(|sent| body::sent(sent, limit, &self.copy));
        let prepared = Prepared::new(request, &self.call);
        match target {
            Target::Own => self.call_peer(None, prepared.request, budget).await,
            Target::Peer(host) => {
                let function = self.allowed_peer(&host)?;
                self.call_peer(Some(&function), prepared.request, budget)
                    .await
            }
            Target::Network(origin) => {
                let outbound = &self.bindings.outbound;
                let verdict = outbound.check(origin.scheme(), &origin.host, origin.port);
                if verdict == Verdict::Denied {
                    return Err(Error::HttpRequestDenied);
                }
                let route = Route::new(outbound.clone(), verdict, origin);
                let exchange = Exchange {
                    pool: &self.pool,
                    route,
                    budget,
                    limit,
                };
                exchange.run(prepared.request).await
            }
        }
    }
}

type Sent = (
    http::Response<WasiBody>,
    Box<dyn Future<Output = Result<(), Error>> + Send>,
);

impl WasiHttpHooks for Scope {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        FORBIDDEN.clone()
    }

    /// The host header follows from where the request goes in the end.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// Nothing is refused here already: a denial comes out of the future, where the interface says.
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent, Error>> + Send> {
        let sender = Sender::of(self);
        Box::new(async move {
            let response = sender.send(request, options.unwrap_or_default()).await?;
            // What goes wrong with the request from here on shows in the response or its body.
            let sent: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(async { Ok(()) });
            Ok((response, sent))
        })
    }
}

#[cfg(test)]
mod tests;
