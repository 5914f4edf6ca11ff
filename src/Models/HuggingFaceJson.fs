namespace Peft

open System.Globalization
open System.Text.Json
open System.Text.Json.Serialization

/// Writes a float that is whole with its point: Python tells 1 from 1.0, and transformers refuses one for the other.
type private WholeFloats() =
    inherit JsonConverter<float>()

    override _.Read(reader, _, _) = reader.GetDouble()

    override _.Write(writer, value, _) =
        if value = floor value && abs value < 1e15 then
            writer.WriteRawValue(value.ToString("0.0", CultureInfo.InvariantCulture))
        else
            writer.WriteNumberValue value

/// JSON for Hugging Face's libraries.
[<RequireQualifiedAccess>]
module HuggingFaceJson =
    /// `Json.options`, and floats that stay floats.
    let options () : JsonSerializerOptions =
        let options = JsonSerializerOptions Json.options
        options.Converters.Add(WholeFloats())
        options
