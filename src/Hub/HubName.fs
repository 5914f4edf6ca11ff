namespace Peft

open System
open System.Text.RegularExpressions

/// What a repository of the hub holds.
[<RequireQualifiedAccess>]
type HubKind =
    | Model
    | Dataset

/// A repository of the hub and one of its versions: `google/flan-t5-base`, `google/flan-t5-base@v1`.
type HubName =
    {
        Kind: HubKind
        /// `owner/name`, or an old `name` without owner.
        Id: string
        /// A branch, a tag, `refs/pr/1` or a commit of 40 hexadecimal digits.
        Revision: string
    }

    /// The name as people write it.
    override name.ToString() =
        if name.Revision = "main" then
            name.Id
        else
            $"{name.Id}@{name.Revision}"

/// Names of the hub, and what may stand in paths that a server names.
[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module HubName =
    let private matches (pattern: string) (text: string) =
        Regex.IsMatch(text, $@"\A(?:{pattern})\z", RegexOptions.CultureInvariant)

    let private part = @"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?"

    let private longest = 96

    let private isId (text: string) =
        text.Length <= longest
        && matches $"(?:{part}/)?{part}" text
        && not (text.Contains ".." || text.Contains "--")

    let private isRevision (text: string) =
        text.Length <= longest
        && matches $"{part}(?:/{part})*" text
        && not (text.Contains "..")

    /// What addresses and the cache's folders call repositories of a kind.
    let plural (kind: HubKind) : string =
        match kind with
        | HubKind.Model -> "models"
        | HubKind.Dataset -> "datasets"

    /// Whether a text is a commit: 40 hexadecimal digits.
    let isCommit (text: string) : bool = matches "[0-9a-f]{40}" text

    /// A version of a repository, both checked; `UserError` where one cannot be.
    let create (kind: HubKind) (id: string) (revision: string) : HubName =
        if not (isId id && isRevision revision) then
            userError $"'{id}@{revision}' is no name of the hub: it is owner/name, or owner/name@revision."

        {
            Kind = kind
            Id = id
            Revision = revision
        }

    /// The name that a text is: `owner/name`, `owner/name@revision`, or `name@revision` for the few old names without owner; a
    /// single word without revision is none.
    let tryParse (kind: HubKind) (text: string) : HubName option =
        match text.Split '@' with
        | [| id |] when id.Contains '/' && isId id -> Some(create kind id "main")
        | [| id; revision |] when isId id && isRevision revision -> Some(create kind id revision)
        | _ -> None

    /// Whether a path that a server names stays inside the folder it is put in, on every system.
    let isSafePath (path: string) : bool =
        let isSafe (segment: string) =
            segment <> ""
            && segment.Trim([| '.'; ' ' |]) <> ""
            && segment.Length < 200
            && segment
               |> Seq.forall (fun letter -> not (Char.IsControl letter || Seq.contains letter "\\:*?\"<>|"))

        path.Length < 1000 && path.Split '/' |> Array.forall isSafe
