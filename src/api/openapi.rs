//! The description of the API: what the handlers say of themselves, with what holds for all of them.

use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, OpenApi, OpenApiBuilder, Ref, RefOr, ResponseBuilder,
};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::auth::Need;
use super::error::word;
use super::routes::TABLE;
use super::wire::{FieldError, PROBLEM_MEDIA_TYPE, Problem};

const SCHEME: &str = "token";

/// The description to begin with.
pub(super) fn begun() -> OpenApi {
    let mut info = Info::new("Tenure", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "The admin API of Tenure, a clustered task scheduler. Any node answers any call. Answers carry the revision of etcd \
         that they are true at, in `revision` and in the header `Tenure-Revision`; refusals are problems (RFC 9457) whose \
         `code` is stable; every answer has an `X-Request-Id`."
            .to_owned(),
    );
    OpenApiBuilder::new().info(info).build()
}

/// The description with roles and problems.
pub(super) fn finished(mut api: OpenApi) -> OpenApi {
    let components = api.components.get_or_insert_with(Components::new);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components
        .security_schemes
        .insert(SCHEME.to_owned(), RefOr::T(SecurityScheme::Http(bearer)));
    components
        .schemas
        .insert(Problem::name().into_owned(), Problem::schema());
    components
        .schemas
        .insert(FieldError::name().into_owned(), FieldError::schema());
    for route in TABLE {
        let item = api.paths.paths.get_mut(route.path);
        if let Some(operation) = item.and_then(|item| operation(item, route.method)) {
            complete(operation, route.need);
        }
    }
    api
}

/// The operation of a method, where there is one.
pub(super) fn operation<'a>(item: &'a mut PathItem, method: &str) -> Option<&'a mut Operation> {
    match method {
        "POST" => item.post.as_mut(),
        "PUT" => item.put.as_mut(),
        "DELETE" => item.delete.as_mut(),
        _ => item.get.as_mut(),
    }
}

fn complete(operation: &mut Operation, need: Need) {
    if let Need::Role(role) = need {
        operation.security = Some(vec![SecurityRequirement::new(SCHEME, [word(role)])]);
    }
    let content = || {
        ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build()
    };
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && response.content.is_empty()
            && !status.starts_with('2')
        {
            response
                .content
                .insert(PROBLEM_MEDIA_TYPE.to_owned(), RefOr::T(content()));
        }
    }
    let other = ResponseBuilder::new()
        .description("A problem; `code` says which")
        .content(PROBLEM_MEDIA_TYPE, content())
        .build();
    operation
        .responses
        .responses
        .entry("default".to_owned())
        .or_insert(RefOr::T(other));
}
