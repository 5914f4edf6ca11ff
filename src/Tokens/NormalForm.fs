namespace Peft

// Unicode's normal forms by tables of our own: `String.Normalize` returns text unchanged under InvariantGlobalization.

open System
open System.Collections.Generic
open System.IO
open System.Text

/// The normal forms of Unicode (UAX 15).
type internal NormalForm =
    | NFC
    | NFD
    | NFKC
    | NFKD

/// Composes and decomposes as UAX 15 has it.
[<RequireQualifiedAccess>]
module internal NormalForm =
    [<NoComparison>]
    type private Tables =
        {
            /// Canonical combining classes other than 0.
            Ranks: Dictionary<int, int>
            Canonical: Dictionary<int, int[]>
            Compatible: Dictionary<int, int[]>
            /// (first, second) as one key, to what they compose to.
            Composed: Dictionary<int64, int>
            /// Code points that canonical composition may change or join: text without one is in NFC.
            Touched: HashSet<int>
        }

    let private pair (first: int) (second: int) : int64 = (int64 first <<< 32) ||| int64 second

    let private readLine (tables: Tables) (line: string) : unit =
        let hex (digits: string) = Convert.ToInt32(digits, 16)

        match line.Split ';' with
        | [| code; rank; mapping |] ->
            let code = hex code
            let rank = int rank

            let targets =
                mapping.Trim('~', '!').Split(' ', StringSplitOptions.RemoveEmptyEntries)
                |> Array.map hex

            if rank > 0 then
                tables.Ranks[code] <- rank
                tables.Touched.Add code |> ignore

            if mapping.StartsWith '~' then
                tables.Compatible[code] <- targets
            elif targets.Length > 0 then
                tables.Canonical[code] <- targets

                if targets.Length = 2 && not (mapping.StartsWith '!') then
                    tables.Composed[pair targets[0] targets[1]] <- code
                    tables.Touched.Add targets[1] |> ignore
                else
                    tables.Touched.Add code |> ignore
        | _ -> ()

    let private tables =
        lazy
            (let tables =
                {
                    Ranks = Dictionary()
                    Canonical = Dictionary()
                    Compatible = Dictionary()
                    Composed = Dictionary()
                    Touched = HashSet()
                }

             match typeof<NormalForm>.Assembly.GetManifestResourceStream "tokens/normal-forms.txt" with
             | null -> invalidOp "the table of normal forms is not in the assembly"
             | stream ->
                 use reader = new StreamReader(stream)

                 for line in reader.ReadToEnd().Split '\n' do
                     if line <> "" && not (line.StartsWith '#') then
                         readLine tables line

             tables)

    // Hangul syllables compose by arithmetic (The Unicode Standard, 3.12): L and V, then T.
    let private firstSyllable, firstL, firstV, firstT = 0xAC00, 0x1100, 0x1161, 0x11A7
    let private countL, countV, countT = 19, 21, 28

    let private isTouched (tables: Tables) (code: int) : bool =
        tables.Touched.Contains code
        || (code >= firstV && code < firstV + countV)
        || (code > firstT && code < firstT + countT)

    let private isNfc (tables: Tables) (text: string) : bool =
        let mutable isUntouched = true

        for rune in text.EnumerateRunes() do
            isUntouched <- isUntouched && not (isTouched tables rune.Value)

        isUntouched

    let private decompose (tables: Tables) (compatible: bool) (text: string) : ResizeArray<int> =
        let result = ResizeArray<int> text.Length

        let rec add (code: int) =
            match tables.Canonical.TryGetValue code with
            | true, targets -> Array.iter add targets
            | _ ->
                match tables.Compatible.TryGetValue code with
                | true, targets when compatible -> Array.iter add targets
                | _ ->
                    let syllable = code - firstSyllable

                    if syllable >= 0 && syllable < countL * countV * countT then
                        result.Add(firstL + syllable / (countV * countT))
                        result.Add(firstV + syllable % (countV * countT) / countT)

                        if syllable % countT > 0 then
                            result.Add(firstT + syllable % countT)
                    else
                        result.Add code

        for rune in text.EnumerateRunes() do
            add rune.Value

        result

    let private rank (tables: Tables) (code: int) : int =
        match tables.Ranks.TryGetValue code with
        | true, rank -> rank
        | _ -> 0

    /// Runs of marks stand in the order of their classes, those of one class as they were.
    let private order (tables: Tables) (codes: ResizeArray<int>) : unit =
        let mutable from = 0

        while from < codes.Count do
            if rank tables codes[from] = 0 then
                from <- from + 1
            else
                let mutable until = from + 1

                while until < codes.Count && rank tables codes[until] > 0 do
                    until <- until + 1

                if until - from > 1 then
                    let run =
                        codes.GetRange(from, until - from) |> List.ofSeq |> List.sortBy (rank tables)

                    run |> List.iteri (fun place code -> codes[from + place] <- code)

                from <- until

    let private composite (tables: Tables) (first: int) (second: int) : int =
        let l, v, t = first - firstL, second - firstV, second - firstT
        let syllable = first - firstSyllable

        if l >= 0 && l < countL && v >= 0 && v < countV then
            firstSyllable + (l * countV + v) * countT
        elif
            syllable >= 0
            && syllable < countL * countV * countT
            && syllable % countT = 0
            && t > 0
            && t < countT
        then
            first + t
        else
            match tables.Composed.TryGetValue(pair first second) with
            | true, code -> code
            | _ -> -1

    let private compose (tables: Tables) (codes: ResizeArray<int>) : ResizeArray<int> =
        let result = ResizeArray<int> codes.Count
        let mutable starter = -1
        let mutable between = 0

        for code in codes do
            let here = rank tables code

            // A mark is blocked by one of its own class or a higher one between it and the starter.
            let joined =
                if starter >= 0 && (starter = result.Count - 1 || (between < here && between > 0)) then
                    composite tables result[starter] code
                else
                    -1

            if joined >= 0 then
                result[starter] <- joined
            else
                if here = 0 then
                    starter <- result.Count
                    between <- 0
                else
                    between <- here

                result.Add code

        result

    let private isPlain (form: NormalForm) (text: string) : bool =
        let least =
            match form with
            | NFC -> 0x300
            | NFD -> 0xC0
            | NFKC
            | NFKD -> 0xA0

        text.AsSpan().IndexOfAnyExceptInRange('\000', char (least - 1)) < 0

    /// The text in this form; lone surrogates become U+FFFD.
    let apply (form: NormalForm) (text: string) : string =
        if isPlain form text then
            text
        else
            let tables = tables.Value

            if form = NFC && isNfc tables text then
                text
            else
                let codes = decompose tables (form = NFKC || form = NFKD) text
                order tables codes

                let codes =
                    match form with
                    | NFC
                    | NFKC -> compose tables codes
                    | NFD
                    | NFKD -> codes

                let result = StringBuilder codes.Count

                for code in codes do
                    result.Append(Rune(code).ToString()) |> ignore

                result.ToString()
