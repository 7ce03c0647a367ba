//! Calls inside the app, in process: to another function by its internal host name, or to the app's own routes.

use gust_types::{FunctionName, call::Origin};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, WasiBody};

use gust_runtime::PeerContext;

use super::{
    Sender, fault,
    target::peer,
    time::{Budget, until},
};

/// Nothing is sent over a wire, so there is but one scheme.
const SCHEME: &str = "http";
const PORT: u16 = 80;

impl Sender {
    /// The function that this host name means, if the list names it: a wildcard for the whole world does not.
    pub(super) fn allowed_peer(&self, host: &str) -> Result<FunctionName, Error> {
        let name = peer(host).ok_or(Error::DestinationNotFound)?;
        let outbound = &self.bindings.outbound;
        let named = [".spin.internal", ".gust.internal"].iter().any(|suffix| {
            let verdict = outbound.check(SCHEME, &format!("{name}{suffix}"), PORT);
            verdict.is_named()
        });
        if !named {
            return Err(Error::HttpRequestDenied);
        }
        FunctionName::new(name).map_err(|_| Error::DestinationNotFound)
    }

    /// Calls a function of the app, or the app's own routes.
    pub(super) async fn call_peer(
        &self,
        function: Option<&FunctionName>,
        request: http::Request<WasiBody>,
        budget: Budget,
    ) -> Result<http::Response<WasiBody>, Error> {
        if function.is_none() && !self.bindings.outbound.allows_own() {
            return Err(Error::HttpRequestDenied);
        }
        if self.call.hops >= Origin::MAX_HOPS {
            return Err(Error::LoopDetected);
        }
        let request = request.map(|body| {
            body.map_err(|e| {
                gust_types::Error::failed("the calling function's request body broke off")
                    .because(e)
            })
            .boxed_unsync()
        });
        let context = PeerContext {
            hops: self.call.hops,
            deadline: self.call.deadline,
            trace: self.call.trace,
            cause: self.call.cause.clone(),
        };
        let peers = &self.bindings.peers;
        let answer = peers.call(&self.revision, function, request, context);
        let answer = async { answer.await.map_err(|e| fault::of_peer(&e)) };
        let reply = until(budget.answered_by(), Error::HttpResponseTimeout, answer).await?;
        Ok(reply.map(|body| body.map_err(|e| fault::of_peer(&e)).boxed_unsync()))
    }
}
