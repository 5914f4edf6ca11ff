namespace Peft

open System
open System.Collections.Generic
open System.Text

/// What two neighbouring symbols become, and how early: the lowest rank goes first.
[<Struct>]
type internal PairMerge = { Rank: int; Into: int }

/// Byte-pair encoding (Sennrich et al. 2016): the symbols of a text are its characters; of all neighbours that have a
/// merge the one of lowest rank is joined, the left-most of equals, over and over.
[<NoComparison>]
type internal PairRules =
    {
        /// The id of each piece.
        Ids: Dictionary<string, int>
        /// By `BytePairs.key` of two ids.
        Merges: Dictionary<int64, PairMerge>
        /// What stands for a character without a piece; such characters vanish where there is none.
        Unknown: int option
        /// A run of unknown characters is one `Unknown`.
        FusesUnknown: bool
        /// The ids of the 256 bytes, which stand for the characters without a piece.
        Bytes: int[] option
        /// A text that is a piece is that piece, whatever the merges say (`ignore_merges`).
        TakesWhole: bool
    }

[<RequireQualifiedAccess>]
module internal BytePairs =
    /// Two ids as one key.
    let key (left: int) (right: int) : int64 = (int64 left <<< 32) ||| int64 right

    /// The ids of the pieces `<0x00>` to `<0xFF>`, if all are there.
    let byteIds (ids: IReadOnlyDictionary<string, int>) : int[] option =
        let found =
            Array.init 256 (fun value ->
                match ids.TryGetValue $"<0x{value:X2}>" with
                | true, id -> id
                | _ -> -1)

        if Array.contains -1 found then None else Some found

    let private symbols (rules: PairRules) (text: string) : ResizeArray<int> =
        let symbols = ResizeArray<int> text.Length
        let byText = rules.Ids.GetAlternateLookup<ReadOnlySpan<char>>()
        let mutable isAfterUnknown = false
        let mutable from = 0

        while from < text.Length do
            let length =
                if Char.IsHighSurrogate text[from] && from + 1 < text.Length then
                    2
                else
                    1

            let mutable id = 0

            if byText.TryGetValue(text.AsSpan(from, length), &id) then
                symbols.Add id
                isAfterUnknown <- false
            else
                match rules.Bytes, rules.Unknown with
                | Some bytes, _ ->
                    for value in Encoding.UTF8.GetBytes(text.Substring(from, length)) do
                        symbols.Add bytes[int value]

                    isAfterUnknown <- false
                | None, Some unknown ->
                    if not (isAfterUnknown && rules.FusesUnknown) then
                        symbols.Add unknown

                    isAfterUnknown <- true
                | None, None -> ()

            from <- from + length

        symbols

    /// Joins neighbours in place: a joined symbol stands at the left one's place, and the right one's becomes -1.
    let private mergeAll (merges: Dictionary<int64, PairMerge>) (symbols: ResizeArray<int>) : unit =
        let after = Array.init symbols.Count (fun place -> place + 1)
        let before = Array.init symbols.Count (fun place -> place - 1)
        // A place of the left symbol and what the pair becomes, by rank and then by place.
        let queue = PriorityQueue<struct (int * int), int64>()

        let offer (left: int) =
            if left >= 0 && after[left] < symbols.Count then
                match merges.TryGetValue(key symbols[left] symbols[after[left]]) with
                | true, merge -> queue.Enqueue(struct (left, merge.Into), key merge.Rank left)
                | _ -> ()

        for place in 0 .. symbols.Count - 2 do
            offer place

        while queue.Count > 0 do
            let struct (left, into) = queue.Dequeue()

            if symbols[left] >= 0 && after[left] < symbols.Count then
                let right = after[left]

                // What was offered earlier may have changed since.
                match merges.TryGetValue(key symbols[left] symbols[right]) with
                | true, merge when merge.Into = into ->
                    symbols[left] <- into
                    symbols[right] <- -1
                    after[left] <- after[right]

                    if after[left] < symbols.Count then
                        before[after[left]] <- left

                    offer before[left]
                    offer left
                | _ -> ()

    /// Adds the ids of a text.
    let encode (rules: PairRules) (text: string) (ids: ResizeArray<int>) : unit =
        match rules.Ids.TryGetValue text with
        | true, id when rules.TakesWhole -> ids.Add id
        | _ ->
            let symbols = symbols rules text
            mergeAll rules.Merges symbols

            for id in symbols do
                if id >= 0 then
                    ids.Add id

    /// SentencePiece's mark of a space.
    let private mark = '\u2581'

    /// Whether text may be cut before each mark that follows another character: no piece joins across such a place. Where
    /// whole lines are one piece this gives the same ids in a fraction of the time.
    let private partsAtMarks (rules: PairRules) : bool =
        let joins (text: string) : bool =
            let mutable joins = false

            for place in 1 .. text.Length - 1 do
                joins <- joins || (text[place] = mark && text[place - 1] <> mark)

            joins

        not rules.TakesWhole
        && rules.Ids.ContainsKey(string mark)
        && not (Seq.exists joins rules.Ids.Keys)

    let private parts (text: string) : ResizeArray<string> =
        let parts = ResizeArray<string>()
        let mutable from = 0

        for place in 1 .. text.Length - 1 do
            if text[place] = mark && text[place - 1] <> mark then
                parts.Add(text.Substring(from, place - from))
                from <- place

        parts.Add(text.Substring from)
        parts

    /// What encodes pieces by these rules, and keeps the short ones.
    let encoder (rules: PairRules) : string -> ResizeArray<int> -> unit =
        let memory = WordMemory(encode rules)

        if partsAtMarks rules then
            fun text ids ->
                for part in parts text do
                    memory.Encode(part, ids)
        else
            fun text ids -> memory.Encode(text, ids)

/// Merges as files list them: two pieces, the earliest of lowest rank.
[<RequireQualifiedAccess>]
module internal MergeList =
    /// The two pieces of a line.
    let pair (file: string) (line: string) : struct (string * string) =
        match line.IndexOf ' ' with
        | -1 -> TokenizerFile.refuse file "is damaged: a merge is not two pieces"
        | space -> struct (line.Substring(0, space), line.Substring(space + 1))

    /// The merges of pairs in their order. `UserError` where a pair or what it becomes is no piece.
    let read
        (file: string)
        (ids: Dictionary<string, int>)
        (pairs: seq<struct (string * string)>)
        : Dictionary<int64, PairMerge> =
        let merges = Dictionary<int64, PairMerge>()

        let idOf (piece: string) : int =
            match ids.TryGetValue piece with
            | true, id -> id
            | _ -> TokenizerFile.refuse file "is damaged: a merge names a piece that is not in the vocabulary"

        for struct (left, right) in pairs do
            let merge =
                {
                    Rank = merges.Count
                    Into = idOf (left + right)
                }

            merges.TryAdd(BytePairs.key (idOf left) (idOf right), merge) |> ignore

        merges
