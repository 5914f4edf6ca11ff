namespace Peft

open System

/// Why the hub gave nothing.
[<RequireQualifiedAccess>]
type internal HubFailure =
    /// Nothing answers at the address.
    | NoConnection of cause: string
    /// The connection broke, or fell silent.
    | Broken of cause: string
    /// Too many requests, or a fault of the server that may pass; how long it asks to wait.
    | Busy of status: int * wait: TimeSpan option
    | NoRepository
    | NoRevision
    | NoFile
    | Gated
    | Unauthorised
    | Forbidden
    /// What no hub says, in words that follow its address.
    | Odd of what: string

/// Raised between a request and the place that tells its failure.
exception internal HubFailed of HubFailure

[<RequireQualifiedAccess>]
module internal HubFailure =
    /// Ends a request with its failure.
    let fail (failure: HubFailure) : 'a = raise (HubFailed failure)

    /// Whether the same request may succeed later.
    let isPassing (failure: HubFailure) : bool =
        match failure with
        | HubFailure.NoConnection _
        | HubFailure.Broken _
        | HubFailure.Busy _ -> true
        | _ -> false

    /// Whether a copy in the cache serves instead: the hub did not say that the version is none.
    let isOfAccess (failure: HubFailure) : bool =
        match failure with
        | HubFailure.Unauthorised
        | HubFailure.Forbidden
        | HubFailure.Gated -> true
        | other -> isPassing other

    let private kind (name: HubName) =
        match name.Kind with
        | HubKind.Model -> "model"
        | HubKind.Dataset -> "data set"

    let private page (settings: HubSettings) (name: HubName) =
        match name.Kind with
        | HubKind.Model -> $"{settings.Endpoint}/{name.Id}"
        | HubKind.Dataset -> $"{settings.Endpoint}/datasets/{name.Id}"

    let private withToken (settings: HubSettings) =
        if settings.Token.IsSome then
            "HF_TOKEN, or the token file, holds a token that may not read it: take one that may"
        else
            "set HF_TOKEN to a token that may read it"

    /// The cause in one line, with what to do about it; `file` is "" for the repository.
    let describe (settings: HubSettings) (name: HubName) (file: string) (failure: HubFailure) : string =
        let what = if file = "" then $"{name}" else $"{file} of {name}"

        match failure with
        | HubFailure.NoConnection cause ->
            $"{what}: {settings.Endpoint} cannot be reached ({cause}). Check the network, HF_ENDPOINT and the proxy; or name a folder."
        | HubFailure.Broken cause ->
            $"{what}: the connection to the hub failed again and again ({cause}). The same command goes on from what is there."
        | HubFailure.Busy(429, wait) ->
            let until =
                match wait with
                | Some wait -> $" for {ceil wait.TotalSeconds:F0} s"
                | None -> ""

            $"{what}: the hub lets nobody ask more often{until} (429). Wait, or set HF_TOKEN; the same command then goes on."
        | HubFailure.Busy(status, _) ->
            $"{what}: the hub is out of order (status {status}). Try again later; the same command then goes on."
        | HubFailure.NoRepository ->
            $"{name} is no folder here and no {kind name} of {settings.Endpoint}, or a private one: check the name, or {withToken settings}."
        | HubFailure.NoRevision ->
            $"{name.Id} has no version '{name.Revision}': see {page settings name}/tree/main for its branches and tags."
        | HubFailure.NoFile -> $"{what}: the hub has no such file."
        | HubFailure.Gated -> $"{name.Id} is gated: ask for access at {page settings name}, then {withToken settings}."
        | HubFailure.Unauthorised ->
            $"{name} is no {kind name} of {settings.Endpoint}, or a private or gated one: check the name, or {withToken settings}."
        | HubFailure.Forbidden -> $"{what}: the hub refuses access (403): {withToken settings}."
        | HubFailure.Odd what' ->
            $"{what}: {settings.Endpoint} {what'}. Check HF_ENDPOINT; what arrived was thrown away."
