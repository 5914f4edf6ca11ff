namespace Peft

open System.Collections.Generic
open System.Text.Json
open System.Text.RegularExpressions

/// The values of an `adapter_config.json` over peft's defaults, and which of them were read; `file` is for messages.
type HuggingFaceValues(file: string, values: Map<string, JsonElement>) =
    let read = HashSet<string>()

    let item key =
        read.Add key |> ignore
        values[key]

    /// The keys that were read so far.
    member _.Read: Set<string> = set read

    /// Says that a value is not what it should be.
    member _.Wrong(key: string, should: string) : 'a =
        let raw = (item key).GetRawText()
        let text = Regex.Replace(raw, @"\s+", " ")
        userError $"{file}: {key} is {text}, and should be {should}."

    /// The value as it is.
    member _.Item(key: string) : JsonElement = item key

    /// A number.
    member this.Number(key: string) : float =
        if (item key).ValueKind = JsonValueKind.Number then
            match HuggingFaceValues.Real(item key) with
            | Some value -> value
            | None -> this.Wrong(key, HuggingFaceValues.RealWords)
        else
            this.Wrong(key, "a number")

    /// What `Real` takes.
    static member RealWords: string = "a number between -1e30 and 1e30"

    /// A number that the arithmetic in float32 can bear.
    static member Real(value: JsonElement) : float option =
        match value.ValueKind with
        | JsonValueKind.Number when abs (value.GetDouble()) <= 1e30 -> Some(value.GetDouble())
        | _ -> None

    /// A whole number of at least 0.
    member this.Whole(key: string) : int =
        match (item key).ValueKind with
        | JsonValueKind.Number when fst ((item key).TryGetInt32()) && (item key).GetInt32() >= 0 ->
            (item key).GetInt32()
        | _ -> this.Wrong(key, "a whole number of at least 0")

    /// A whole number of at least 1.
    member this.Count(key: string) : int =
        match (item key).ValueKind with
        | JsonValueKind.Number ->
            match (item key).TryGetInt32() with
            | true, count when count >= 1 -> count
            | _ -> this.Wrong(key, "a whole number of at least 1")
        | _ -> this.Wrong(key, "a whole number of at least 1")

    /// A number in [0, 1).
    member this.Share(key: string) : float =
        match this.Number key with
        | share when share >= 0.0 && share < 1.0 -> share
        | _ -> this.Wrong(key, "at least 0 and below 1")

    /// Whether something is on.
    member this.Flag(key: string) : bool =
        match (item key).ValueKind with
        | JsonValueKind.True -> true
        | JsonValueKind.False
        | JsonValueKind.Null -> false
        | _ -> this.Wrong(key, "true or false")

    /// A list of names, a name, or none.
    member this.Texts(key: string) : string list =
        match (item key).ValueKind with
        | JsonValueKind.Null -> []
        | JsonValueKind.String -> [ Json.text (item key) ]
        | JsonValueKind.Array when
            (item key).EnumerateArray()
            |> Seq.forall (fun one -> one.ValueKind = JsonValueKind.String)
            ->
            [ for item in (item key).EnumerateArray() -> Json.text item ]
        | _ -> this.Wrong(key, "a list of names")

    /// A list of whole numbers, one, or none.
    member this.Integers(key: string) : int list =
        let isWhole (one: JsonElement) =
            one.ValueKind = JsonValueKind.Number && fst (one.TryGetInt32())

        match (item key).ValueKind with
        | JsonValueKind.Null -> []
        | JsonValueKind.Number when isWhole (item key) -> [ (item key).GetInt32() ]
        | JsonValueKind.Array when (item key).EnumerateArray() |> Seq.forall isWhole ->
            [ for item in (item key).EnumerateArray() -> item.GetInt32() ]
        | _ -> this.Wrong(key, "a list of whole numbers")

    /// A value by name.
    member this.Pairs(key: string, read: JsonElement -> 'a option, should: string) : (string * 'a) list =
        match (item key).ValueKind with
        | JsonValueKind.Null -> []
        | JsonValueKind.Object ->
            [
                for item in (item key).EnumerateObject() ->
                    match read item.Value with
                    | Some value -> item.Name, value
                    | None -> this.Wrong(key, should)
            ]
        | _ -> this.Wrong(key, should)

    /// Modules.
    member this.Target(key: string) : ModuleTarget option =
        match (item key).ValueKind with
        | JsonValueKind.Null -> None
        | JsonValueKind.String when (Json.text (item key)).ToLowerInvariant() = "all-linear" -> Some AllLinear
        | JsonValueKind.String -> Some(ModulePattern(Json.text (item key)))
        | _ -> Some(ModuleNames(this.Texts key))

    /// Whether the file was written by this version of peft or a newer one. Versions before 0.17 do not say theirs.
    member _.IsOfVersion(major: int, minor: int) : bool =
        match Map.tryFind "peft_version" values with
        | Some version when version.ValueKind = JsonValueKind.String ->
            let found = Regex.Match(Json.text version, @"\A(\d{1,4})\.(\d{1,4})")

            found.Success
            && (int found.Groups[1].Value, int found.Groups[2].Value) >= (major, minor)
        | _ -> false

    /// `fallback` are the names that peft takes for a T5 where the file gives none.
    member this.Targeting(fallback: string list) : Targeting =
        let optional key read none =
            if values.ContainsKey key then read key else none

        {
            Targets = this.Target "target_modules" |> Option.defaultValue (ModuleNames fallback)
            Excluded = optional "exclude_modules" this.Target None
            Layers = optional "layers_to_transform" this.Integers []
            LayersPatterns = optional "layers_pattern" this.Texts []
            CountsFirstNumber = this.IsOfVersion(0, 20)
        }

/// Values of an `adapter_config.json` as they are written.
[<RequireQualifiedAccess>]
module HuggingFaceValue =
    let private options = lazy (HuggingFaceJson.options ())

    /// A value as JSON; a float that is whole keeps its point.
    let element (value: 'a) : JsonElement =
        JsonSerializer.SerializeToElement(value, options.Value)

    /// A number that peft takes to be whole, as alpha, and that has a point only where it has a fraction.
    let number (value: float) : JsonElement = JsonSerializer.SerializeToElement value

    let private target (target: ModuleTarget) : JsonElement =
        match target with
        | AllLinear -> element "all-linear"
        | ModulePattern pattern -> element pattern
        | ModuleNames names -> element (List.toArray names)

    /// The keys that say where; `hasExclusion` and `hasLayers`: whether the method has these keys.
    let targeting (hasExclusion: bool) (hasLayers: bool) (where: Targeting) : (string * JsonElement) list =
        [
            "target_modules", target where.Targets
            match where.Excluded with
            | Some excluded when hasExclusion -> "exclude_modules", target excluded
            | _ -> ()
            if hasLayers && not where.Layers.IsEmpty then
                "layers_to_transform", element (List.toArray where.Layers)
            match where.LayersPatterns with
            | [] -> ()
            | [ one ] when hasLayers -> "layers_pattern", element one
            | several when hasLayers -> "layers_pattern", element (List.toArray several)
            | _ -> ()
        ]

    /// Modules as a value.
    let modules (where: ModuleTarget) : JsonElement = target where

    /// A table of values by name.
    let pairs (values: (string * 'a) list) : JsonElement =
        let table = Dictionary<string, 'a>()

        for name, value in values do
            table[name] <- value

        element table

    /// Keys and values as one JSON object.
    let text (keys: (string * JsonElement) list) : string = JsonSerializer.Serialize(dict keys)

    /// A whole number of at least 1.
    let rank (value: JsonElement) : int option =
        match value.ValueKind with
        | JsonValueKind.Number ->
            match value.TryGetInt32() with
            | true, number when number >= 1 -> Some number
            | _ -> None
        | _ -> None

    /// A number that the arithmetic in float32 can bear.
    let real (value: JsonElement) : float option = HuggingFaceValues.Real value

    /// A list of true and false.
    let flags (value: JsonElement) : bool[] option =
        let isFlag (one: JsonElement) =
            one.ValueKind = JsonValueKind.True || one.ValueKind = JsonValueKind.False

        if
            value.ValueKind = JsonValueKind.Array
            && value.EnumerateArray() |> Seq.forall isFlag
        then
            Some [| for one in value.EnumerateArray() -> one.GetBoolean() |]
        else
            None
