//! `#[derive(Attributes)]`: the fields of a struct, or the variants of an enum, as values.

use proc_macro2::{Span, TokenStream as Tokens};
use quote::{format_ident, quote};
use syn::{Data, DeriveInput, Fields, Ident};

/// The fields' names (places, where they have none) and the identifiers that patterns bind them to.
fn fields(fields: &Fields) -> Vec<(String, Ident)> {
    let name = |(i, f): (usize, &syn::Field)| {
        let name = f.ident.as_ref().map_or_else(|| i.to_string(), Ident::to_string);
        let bound = format_ident!("field_{name}", span = Span::mixed_site());
        (name, bound)
    };
    fields.iter().enumerate().map(name).collect()
}

/// A pattern, or an expression, that takes a struct or variant apart, or makes it.
fn shape(path: Tokens, fields: &Fields, values: &[Tokens]) -> Tokens {
    match fields {
        Fields::Unit => path,
        Fields::Unnamed(_) => quote!(#path(#(#values),*)),
        Fields::Named(named) => {
            let names = named.named.iter().map(|f| &f.ident);
            quote!(#path { #(#names: #values),* })
        }
    }
}

pub(crate) fn expand(input: &DeriveInput) -> syn::Result<Tokens> {
    let mut generics = input.generics.clone();
    for p in generics.type_params_mut() {
        p.bounds.push(syn::parse_quote!(::tengen::op::Attribute));
    }
    let (head, arguments, conditions) = generics.split_for_impl();
    let ty = &input.ident;
    let op = quote!(::tengen::op);
    match &input.data {
        Data::Struct(s) => {
            let fields = fields(&s.fields);
            let names: Vec<&String> = fields.iter().map(|(n, _)| n).collect();
            let bound: Vec<Tokens> = fields.iter().map(|(_, b)| quote!(#b)).collect();
            let apart = shape(quote!(Self), &s.fields, &bound);
            let reads: Vec<Tokens> = names.iter().map(|n| quote!(reader.field(#n)?)).collect();
            let made = shape(quote!(Self), &s.fields, &reads);
            Ok(quote! {
                impl #head #op::Attributes for #ty #arguments #conditions {
                    fn attributes(&self) -> ::std::vec::Vec<(&'static str, #op::Value)> {
                        let #apart = self;
                        ::std::vec![#((#names, #op::Attribute::to_value(#bound))),*]
                    }
                }
                impl #head #op::FromAttributes for #ty #arguments #conditions {
                    fn from_attributes(reader: &mut #op::Reader<'_>) -> ::tengen::Result<Self> {
                        ::std::result::Result::Ok(#made)
                    }
                }
                impl #head #op::Attribute for #ty #arguments #conditions {
                    fn to_value(&self) -> #op::Value {
                        #op::record(self)
                    }
                    fn from_value(value: &#op::Value) -> ::tengen::Result<Self> {
                        #op::from_record(value)
                    }
                }
            })
        }
        Data::Enum(e) => {
            let mut to = Vec::new();
            let mut from = Vec::new();
            for v in &e.variants {
                let (ident, name) = (&v.ident, v.ident.to_string());
                let bound: Vec<Tokens> =
                    fields(&v.fields).iter().map(|(_, b)| quote!(#b)).collect();
                let apart = shape(quote!(Self::#ident), &v.fields, &bound);
                to.push(quote! {
                    #apart => #op::variant(#name, ::std::vec![#(#op::Attribute::to_value(#bound)),*])
                });
                let reads: Vec<Tokens> = bound.iter().map(|_| quote!(reader.take()?)).collect();
                let made = shape(quote!(Self::#ident), &v.fields, &reads);
                from.push(quote!(#name => #made));
            }
            Ok(quote! {
                impl #head #op::Attribute for #ty #arguments #conditions {
                    fn to_value(&self) -> #op::Value {
                        match self { #(#to),* }
                    }
                    fn from_value(value: &#op::Value) -> ::tengen::Result<Self> {
                        #op::from_variant(value, |name, reader| {
                            ::std::result::Result::Ok(match name {
                                #(#from,)*
                                _ => return ::std::result::Result::Err(reader.unknown(name)),
                            })
                        })
                    }
                }
            })
        }
        Data::Union(_) => Err(syn::Error::new_spanned(ty, "a union has no attributes")),
    }
}
