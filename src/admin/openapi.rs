//! The API's description (OpenAPI 3.1), generated from the handlers.

use axum::Json;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{RefOr, Required};
use utoipa::{Modify, OpenApi};

use super::{
    agents, audit, decisions, events, explain, grants, keys, lifecycle, people, policies, requests,
    risk, signals, ssf, tasks, usual, views,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Portcullis control API",
        description = "Tasks, requests and grants for agents; grants, policies and state for people."
    ),
    servers((url = "/", description = "The control address that this document comes from")),
    security(("token" = []), ("access_key" = []), ("certificate" = [])),
    modifiers(&PathParameters, &Callers),
    paths(
        tasks::open,
        tasks::show,
        tasks::heartbeat,
        tasks::complete,
        tasks::fail,
        tasks::cancel,
        requests::create,
        requests::list,
        requests::show,
        decisions::approve,
        decisions::deny,
        decisions::withdraw,
        grants::list,
        grants::show,
        grants::revoke,
        lifecycle::renew,
        lifecycle::delegate,
        agents::revoke,
        agents::restore,
        risk::show,
        usual::show,
        usual::reset,
        usual::pin,
        usual::unpin,
        audit::list,
        events::follow,
        explain::explain,
        people::show,
        people::make_key,
        people::remove_key,
        people::enrol,
        people::confirm,
        people::reset,
        people::confirm_reset,
        keys::rotate,
        signals::push,
        ssf::events,
        policies::status,
        policies::reload,
        policies::diff,
        policies::shadow,
    ),
    components(schemas(
        tasks::OpenBody,
        requests::CreateBody,
        explain::ExplainBody,
        decisions::ApproveBody,
        decisions::DenyBody,
        lifecycle::RenewBody,
        lifecycle::DelegateBody,
        signals::SignalBody,
        risk::RiskView,
        usual::UsualView,
        people::CodeBody,
        policies::ReloadBody,
        policies::ShadowBody,
        people::ResetBody,
        views::TaskView,
        views::ReceiptView,
        views::ClosedGrantView,
        views::GrantView,
        views::RequestView,
        views::ApprovalView,
    ))
)]
struct Description;

/// Declares the parameters that stand in paths: all are texts.
struct PathParameters;

impl Modify for PathParameters {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            let segments = path.split('/');
            let named = segments.filter_map(|one| one.strip_prefix('{')?.strip_suffix('}'));
            let declared = named.map(|name| {
                let text = ObjectBuilder::new().schema_type(Type::String);
                let parameter = ParameterBuilder::new().name(name).schema(Some(text));
                RefOr::T(
                    parameter
                        .parameter_in(ParameterIn::Path)
                        .required(Required::True)
                        .build(),
                )
            });
            let declared: Vec<_> = declared.collect();
            let methods = [&mut item.get, &mut item.post, &mut item.delete];
            for operation in methods.into_iter().flatten() {
                let parameters = operation.parameters.get_or_insert_default();
                parameters.extend_from_slice(&declared);
            }
        }
    }
}

/// Declares what callers show.
struct Callers;

impl Modify for Callers {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = |described: &str| {
            let mut scheme = Http::new(HttpAuthScheme::Bearer);
            scheme.description = Some(described.to_owned());
            SecurityScheme::Http(scheme)
        };
        let certificate = SecurityScheme::MutualTls {
            description: Some("An agent's client certificate, without a token".to_owned()),
            deprecated: None,
            extensions: None,
        };
        let token = "An agent's token from `/oauth/token`, or a trusted issuer's; one that is bound to a key comes \
            under the scheme `DPoP`, with a proof";
        let components = document.components.get_or_insert_default();
        for (name, scheme) in [
            ("token", bearer(token)),
            ("access_key", bearer("A person's access key, `pk_…`")),
            ("certificate", certificate),
            (
                "transmitter",
                bearer("What a transmitter of security events is configured with"),
            ),
        ] {
            components.add_security_scheme(name, scheme);
        }
    }
}

/// The description.
pub(super) async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(Description::openapi())
}
