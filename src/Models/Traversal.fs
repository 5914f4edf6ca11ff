namespace Peft

/// What a traversal that replaces things one by one comes across.
[<RequireQualifiedAccess>]
module internal Traversal =
    /// Everything that `map` gives to its function, in that order; nothing is replaced.
    let visited (map: ('key -> 'item -> 'item) -> 'whole) : ('key * 'item) list =
        let found = ResizeArray()

        map (fun key item ->
            found.Add(key, item)
            item)
        |> ignore

        List.ofSeq found
