namespace Peft

open System
open System.Collections.Generic
open System.Security.Cryptography
open System.Text

/// A shuffle that is the same on every machine and version of .NET, which does not promise that for its own generator.
[<RequireQualifiedAccess>]
module Shuffle =
    /// Numbers of a seed, one after the other.
    let splitMix64 (seed: uint64) : unit -> uint64 =
        let chance = Chance seed
        chance.Next

    /// A number from 0 to `bound` - 1, each equally likely: draws from the incomplete last run of `bound` are thrown away.
    let private below (bound: uint64) (next: unit -> uint64) : int =
        let usable = UInt64.MaxValue - UInt64.MaxValue % bound

        let rec draw () =
            let value = next ()
            if value < usable then int (value % bound) else draw ()

        draw ()

    /// The numbers from 0 to `count` - 1 in an order that `key` decides (Fisher and Yates): its SHA-256 seeds the generator.
    let order (key: string) (count: int) : int[] =
        let hash = SHA256.HashData(Encoding.UTF8.GetBytes key)

        let next =
            splitMix64 (Buffers.Binary.BinaryPrimitives.ReadUInt64LittleEndian(ReadOnlySpan hash))

        let places = Array.init count id

        for last in count - 1 .. -1 .. 1 do
            let chosen = below (uint64 last + 1UL) next
            let moved = places[last]
            places[last] <- places[chosen]
            places[chosen] <- moved

        places

/// The rows of an experiment.
type Split =
    {
        Train: Example[]
        Validation: Example[]
        Test: Example[]
        Overlap: Overlap
        /// Which files, with a digest of their rows, and which rule the rows come from.
        Source: SplitSource
        /// 16 hexadecimal digits of the SHA-256 of all examples in order.
        Fingerprint: string
    }

/// Draws training, validation and test rows. A split depends on the rows, the task's name, level, seed and limits, and
/// on nothing else. The training rows of a level begin with those of the level below; validation and test rows are the
/// same at every level.
[<RequireQualifiedAccess>]
module Split =
    /// The most validation rows, and the most test rows, unless the user says otherwise.
    let standardLimit = 2_500

    /// Of training rows without a validation file, one in ten is for validation, up to the limit.
    let private carvedShare = 10

    let private shuffled (task: string) (portion: string) (seed: int) (rows: Example[]) : Example[] =
        Shuffle.order $"{task}/{portion}/{seed}" rows.Length
        |> Array.map (fun place -> rows[place])

    /// Takes validation rows from the end of the shuffled training rows. Rows of one input go together (E2E has some eight
    /// references for one), so that none of them is seen in training; those beyond `size` are used for neither.
    let private carve (size: int) (rows: Example[]) : Example[] * Example[] =
        let held = HashSet<string>()
        let counts = rows |> Seq.countBy _.Input |> dict
        let mutable taken = 0
        let mutable place = rows.Length - 1

        while taken < size && place >= 0 do
            let input = rows[place].Input

            if held.Add input then
                taken <- taken + counts[input]

            place <- place - 1

        let validation, train = rows |> Array.partition (fun row -> held.Contains row.Input)
        train, validation |> Array.rev |> Array.truncate size

    /// Of rows of which nobody says what they are for, one in five is for testing, up to the limit.
    let private testShare = 5

    let private told (pool: Pool) = String.Join(" and ", pool.Files)

    /// Whether a task's definition names neither validation nor test files: both are carved from the training rows.
    let private isOneFile (task: TaskDefinition) : bool =
        task.Files.Validation.IsEmpty && task.Files.Test.IsEmpty

    /// Takes the test rows out of the training rows: the same ones for every seed, as if they had a file of their own.
    let private withTestRows (task: TaskDefinition) (pools: Pools) : Pools =
        let rows = pools.Train.Examples
        let inputs = rows |> Seq.distinctBy _.Input |> Seq.truncate 3 |> Seq.length

        if inputs < 3 then
            userError
                $"{told pools.Train} has {rows.Length} rows with {inputs} different inputs. Training, validation and testing need one each at the least, and dozens to tell anything: add rows."

        let test, train =
            let shuffled = shuffled task.Name "carved" 0 rows

            let train, test =
                carve (max 1 (min standardLimit (rows.Length / testShare))) shuffled

            test, train

        { pools with
            Train = { pools.Train with Examples = train }
            Test = { pools.Test with Examples = test }
        }

    /// The first `digits` hexadecimal digits of the SHA-256 of examples in order.
    let private digest (digits: int) (portions: Example[] list) : string =
        use hash = IncrementalHash.CreateHash HashAlgorithmName.SHA256

        let addNumber (number: int) =
            hash.AppendData(BitConverter.GetBytes number)

        // Lengths go first, so that no two splits run together to the same bytes.
        let addText (text: string) =
            let bytes = Encoding.UTF8.GetBytes text
            addNumber bytes.Length
            hash.AppendData bytes

        for rows in portions do
            addNumber rows.Length

            for row in rows do
                addText row.Input
                addText row.Target

        Convert.ToHexString(hash.GetHashAndReset()).Substring(0, digits).ToLowerInvariant()

    let private fingerprint (portions: Example[] list) : string = digest 16 portions

    /// That a portion has no rows, and why.
    let private missing (kind: string) (pool: Pool) : string =
        SplitSource.missing kind pool.Unlabelled

    /// Refuses a task without rows to test on.
    let private checkTest (task: TaskDefinition) (place: string) (validation: Pool) (test: Pool) : unit =
        if not (isOneFile task) && validation.Files.IsEmpty && test.Files.IsEmpty then
            userError
                $"""{task.Title} has training rows and no test rows: {missing "test" test}, and {missing "validation" validation}. Put a labelled test or validation file beside {place}."""

    /// A pool's files with the number and the digest of its rows: what tells one version of the files from another.
    let private filesOf (pool: Pool) : FileRows =
        {
            Files = pool.Files
            Rows = pool.Examples.Length
            Digest = digest 8 [ pool.Examples ]
        }

    /// The pool of validation rows, unless they are carved from the training rows, and that of test rows.
    let private roles (task: TaskDefinition) (pools: Pools) : Pool option * Pool =
        checkTest task (told pools.Train) pools.Validation pools.Test

        match pools.Validation.Files, pools.Test.Files with
        | [], [] -> None, pools.Test
        | _ :: _, _ :: _ -> Some pools.Validation, pools.Test
        | [], _ -> None, pools.Test
        | _ :: _, [] -> None, pools.Validation

    /// Loads all rows of a task. That there are none to test on is found before the training rows are read.
    let load (dataFolder: string) (task: TaskDefinition) : Pools =
        let pools =
            Pools.loadChecked (fun folder -> checkTest task $"the training rows in {folder}") dataFolder task

        if isOneFile task then withTestRows task pools else pools

    /// How many validation rows are carved out of so many training rows.
    let private carvedRows (validationLimit: int) (trainingRows: int) : int =
        max 1 (min validationLimit (trainingRows / carvedShare))

    /// The training rows that a level may take from, the same for every seed: where rows of one input go together a seed may
    /// have fewer, by less than such a group.
    let available (pools: Pools) (task: TaskDefinition) (validationLimit: int) : int =
        let rows = pools.Train.Examples.Length

        match fst (roles task pools) with
        | Some _ -> rows
        | None -> rows - carvedRows validationLimit rows

    /// The split of rows that are loaded; load them once to make several.
    let ofPools
        (pools: Pools)
        (task: TaskDefinition)
        (level: Level)
        (seed: int)
        (validationLimit: int)
        (testLimit: int)
        : Split =
        for name, limit in [ "validation", validationLimit; "test", testLimit ] do
            if limit < 1 then
                userError $"The limit of {name} rows is {limit}. Give 1 or more."

        let validationPool, testPool = roles task pools
        let trainingRows = pools.Train.Examples |> shuffled task.Name "train" seed

        let available, validation =
            match validationPool with
            | Some pool ->
                trainingRows,
                pool.Examples
                |> shuffled task.Name "validation" seed
                |> Array.truncate validationLimit
            | None -> carve (carvedRows validationLimit trainingRows.Length) trainingRows

        if available.Length = 0 then
            userError
                $"{told pools.Train} has a single distinct input, so no validation rows can be carved from it. Add rows or a validation file."

        let train = available |> Array.truncate (Level.rows level)

        let test =
            testPool.Examples |> shuffled task.Name "test" seed |> Array.truncate testLimit

        let source: SplitSource =
            {
                Train = filesOf pools.Train
                Validation = validationPool |> Option.map filesOf
                Test = filesOf testPool
                IsTestedOnValidation = pools.Test.Files.IsEmpty && not pools.Validation.Files.IsEmpty
                UnlabelledValidation = pools.Validation.Unlabelled
                UnlabelledTest = pools.Test.Unlabelled
                Level = level
                Available = available.Length
                TrainRows = train.Length
                ValidationRows = validation.Length
                TestRows = test.Length
                ValidationLimit = validationLimit
                TestLimit = testLimit
                LeftOut = pools.Train.LeftOut + pools.Validation.LeftOut + pools.Test.LeftOut
            }

        {
            Train = train
            Validation = validation
            Test = test
            Overlap = Overlap.ofRows train validation test
            Source = source
            Fingerprint = fingerprint [ train; validation; test ]
        }

    /// Reads a task's rows under a data folder and splits them.
    let create
        (dataFolder: string)
        (task: TaskDefinition)
        (level: Level)
        (seed: int)
        (validationLimit: int)
        (testLimit: int)
        : Split =
        ofPools (load dataFolder task) task level seed validationLimit testLimit
