namespace Peft

/// Token sequences by their beginnings (a prefix tree): what may come next after each. A sequence ends where nothing comes
/// next; one that begins another is told apart by `</s>` at its end.
type Trie =
    private
    | Node of Map<int64, Trie>

    /// What may come next, in ascending order.
    member trie.Next: int64[] =
        let (Node children) = trie
        children |> Map.toArray |> Array.map fst

    /// Whether a sequence ends here.
    member trie.IsEnd: bool = trie.Next.Length = 0

[<RequireQualifiedAccess; CompilationRepresentation(CompilationRepresentationFlags.ModuleSuffix)>]
module Trie =
    let rec private add (Node children) (sequence: int64 list) : Trie =
        match sequence with
        | [] -> Node children
        | first :: rest ->
            let below = children |> Map.tryFind first |> Option.defaultValue (Node Map.empty)
            Node(Map.add first (add below rest) children)

    /// The sequences as a tree.
    let ofSequences (sequences: int64[] seq) : Trie =
        (Node Map.empty, sequences)
        ||> Seq.fold (fun trie sequence -> add trie (List.ofArray sequence))

    /// What comes after one more token; none where nothing does.
    let tryNext (token: int64) (Node children) : Trie option = Map.tryFind token children

    /// What comes after these tokens; none where no sequence begins with them.
    let tryAfter (tokens: int64 seq) (trie: Trie) : Trie option =
        (Some trie, tokens)
        ||> Seq.fold (fun found token -> found |> Option.bind (tryNext token))
