namespace Peft.Reports

open System
open System.IO
open System.Reflection
open System.Security.Cryptography
open System.Text
open Peft

/// The files under `src/Report/assets`, which travel in the assembly.
[<RequireQualifiedAccess>]
module Assets =
    /// The plotting library, whose script is part of every page (src/Report/assets/README.md).
    let plotly = "plotly-basic.min.js"

    let plotlyVersion = "4.1.1"

    /// SHA-256 of the file as its publisher distributes it.
    let plotlySum = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"

    /// An asset's text.
    let read (name: string) : string =
        match Assembly.GetExecutingAssembly().GetManifestResourceStream $"report/{name}" with
        | null -> invalidArg (nameof name) $"the assembly holds no report/{name}"
        | stream ->
            use reader = new StreamReader(stream, UTF8Encoding false)
            reader.ReadToEnd()

    /// A script's or style's source in a content security policy: the page runs what has this hash and nothing else.
    let policyHash (text: string) : string =
        $"'sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes text))}'"
